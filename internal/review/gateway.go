package review

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// boundGateway refuses a Gateway that is too much work to look at.
func boundGateway(gateway *unstructured.Unstructured) hop.Refusals {
	return bound(len(listOf(gateway, "servers")), 1, "servers")
}

func asWritten(_ *subject, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	return object.DeepCopy(), nil
}

func examineGateway(s *subject) (egress.Facts, hop.Refusals) {
	binding := egress.ReadBinding(s.Object)
	var refusals hop.Refusals
	for _, gw := range s.Mesh.Opened(binding, s.View) {
		refusals = append(refusals, hop.CheckBinding(binding, gw, s.View.Service(gw.Service))...)
	}
	return egress.Facts{Gateway: s.gateway.Name}, refusals
}

func unchanged(*subject) []string { return nil }
