package hop

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// CheckExport refuses an exportTo that names no namespace, as istiod's own webhook does where it is asked: proxies take each for the
// name of a namespace that there is not, and whoever was meant calls as if the object were not there.
func CheckExport(object *unstructured.Unstructured) (out Refusals) {
	entry := object.GetKind() == "ServiceEntry"
	for i, to := range egress.ExportTo(object) {
		at := field.NewPath("spec", "exportTo").Index(i)
		switch {
		case to == "~" && !entry:
			out.add("bad-export", at, `"~" is nobody, and only ServiceEntries are exported so`, `name namespaces, "." for the object's own or "*" for all; what is for nobody can be deleted`)
		case to != "." && to != "*" && to != "~" && len(validation.IsDNS1123Label(to)) > 0:
			out.add("bad-export", at, fmt.Sprintf("%.200q is no namespace's name, so the object would reach nobody by it", to),
				`name each namespace whole, in an item of its own; "." is the object's own and "*" is all`)
		}
	}
	return out
}
