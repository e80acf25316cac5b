package emergency

import (
	"cmp"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// Finding says that an object is stopped; nil where it is not.
func Finding(object *unstructured.Unstructured) []egress.Finding {
	stopped, of := State(object)
	if stopped == 0 {
		return nil
	}
	part := ""
	if stopped < of {
		part = fmt.Sprintf(" (%d of %d)", stopped, of)
	}
	return []egress.Finding{{
		Code: "admission-stopped",
		Message: fmt.Sprintf("%s %s is stopped%s, %s: objects that it would judge are stored as they are written",
			object.GetKind(), object.GetName(), part, cmp.Or(object.GetAnnotations()[Annotation], "nobody says since when")),
		Fix: "once what it was stopped for is mended: egressctl start",
	}}
}
