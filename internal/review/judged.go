package review

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// What is evaluated by policies alone.

// boundContent refuses an object of more values than policies are to look at.
func boundContent(object *unstructured.Unstructured) hop.Refusals {
	left := maxPairs
	if counts(object.Object, &left); left >= 0 {
		return nil
	}
	return hop.Refusals{{
		Code: "too-large", Field: "spec", Message: fmt.Sprintf("the object has more than %d values", maxPairs),
		Fix: "spread it over several objects",
	}}
}

// counts takes the values of an object off what is left, until nothing is.
func counts(value any, left *int) {
	if *left--; *left < 0 {
		return
	}
	switch v := value.(type) {
	case map[string]any:
		for _, item := range v {
			counts(item, left)
		}
	case []any:
		for _, item := range v {
			counts(item, left)
		}
	}
}

func examineNothing(s *subject) (egress.Facts, hop.Refusals) {
	return egress.Facts{Gateway: s.gateway.Name}, nil
}

func examineWorkload(s *subject) (egress.Facts, hop.Refusals) {
	return egress.WorkloadFacts(s.Object, s.gateway, s.Mesh, s.View), nil
}
