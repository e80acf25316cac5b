package review

import (
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/egress-governor/egress-governor/internal/hop"
)

// forgotten refuses to take from an object the record of what its author wrote while its spec stays as it is stored: endpoints, routes and
// settings that were meant would silently be gone. Whoever writes another spec says anew what he means.
func forgotten(s *subject) hop.Refusals {
	_, kept := s.Object.GetAnnotations()[hop.IntentAnnotation]
	_, had := s.Old.GetAnnotations()[hop.IntentAnnotation]
	if s.Operation != Update || kept || !had || s.changed() || s.restated() {
		return nil
	}
	return hop.Refusals{{
		Code: "intent-annotation", Field: field.NewPath("metadata", "annotations").Key(hop.IntentAnnotation).String(),
		Message: "what the author of the object wrote is kept in the annotation alone, and without it would be lost",
		Fix:     "leave the annotation; to mean something else, write the spec as it is meant",
	}}
}
