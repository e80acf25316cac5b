package hop

import (
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// Held says whether an entry asks for its exit to stand though it is not sealed, or, observed and sealed, to be as it needs it before it goes back.
func Held(entry *unstructured.Unstructured) bool {
	return entry.GetAnnotations()[ExitAnnotation] == ExitHeld
}

// StaysStraight says whether an entry may stay as it is stored until its exit stands: it asks for that, was stored unsealed, and nothing
// but its metadata changes. So nobody has an entry lead straight out that did not before.
func StaysStraight(entry, old *unstructured.Unstructured, mesh *egress.Mesh) bool {
	if old == nil || !Held(entry) {
		return false
	}
	_, sealed := SealedTo(old, mesh)
	return !sealed && equality.Semantic.DeepEqual(entry.Object["spec"], old.Object["spec"])
}
