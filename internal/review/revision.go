package review

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/egress-governor/egress-governor/internal/hop"
)

// revisionLabel has istiods of other revisions overlook an object.
const revisionLabel = "istio.io/rev"

// revision refuses an object that some istiod overlooks. Whatever is decided here goes by all that is stored: its calls would
// be led as if it were not there, while its place is taken. What is stored already, and stays, keeps nobody from writing the rest.
func revision(s *subject) hop.Refusals {
	of, given := s.Object.GetLabels()[revisionLabel]
	if !given || !s.Mesh.Carries() && !s.Mesh.Block || s.kind.asked && s.kind.rewrite == nil || !s.changed() && !s.relabelled() {
		return nil
	}
	return hop.Refusals{{
		Code: "revision-label", Field: field.NewPath("metadata", "labels").Key(revisionLabel).String(),
		Message: fmt.Sprintf("no istiod but that of revision %q would read the object, and the proxies of all others, those of egress gateways too, would go on as if it were not there", of),
		Fix:     "remove the label",
	}}
}
