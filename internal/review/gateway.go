package review

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"

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
	facts := egress.Facts{Gateway: s.gateway.Name}
	opened := s.Mesh.Opened(binding, s.View)
	for _, gw := range opened {
		refusals = append(refusals, hop.CheckBinding(binding, gw, s.View.Service(gw.Service))...)
		facts.OnGateways = []*field.Path{field.NewPath("spec", "selector")}
		facts.ForOthers = append(facts.ForOthers, hop.ForOthers(binding, gw, s.View.Service(gw.Service), s.View)...)
	}
	if len(opened) > 0 {
		for _, route := range s.View.Deciding(s.Namespace.Name, s.Object.GetName()) {
			refusals = append(refusals, egress.Finding{
				Code: hop.CodeGatewayRoute, Field: "spec.selector",
				Message: fmt.Sprintf("VirtualService %s is bound to this Gateway, and on the pods of the egress gateway it would decide over the calls of everybody to its hosts", route),
				Fix:     "in that VirtualService put what its routes for this Gateway set beside those for mesh, remove these routes, and take the Gateway out of spec.gateways and of each match.gateways; or select other pods",
			})
		}
	}
	return facts, refusals
}

// gatewayNotes tell where nobody can say whether a Gateway is on the pods of an egress gateway: it selects by more than their labels of the
// configuration, and no pod is known.
func gatewayNotes(s *subject) (out []string) {
	binding := egress.ReadBinding(s.Object)
	for _, gw := range s.Mesh.Gateways {
		if len(binding.Selector) > len(gw.Selector) && egress.Selects(gw.Selector, binding.Selector) && len(s.View.Pods(gw.Namespace())) == 0 {
			out = append(out, fmt.Sprintf("spec.selector: no pods of namespace %q are known; if these labels are those of egress gateway %q, the Gateway is refused what it would take from it",
				gw.Namespace(), gw.Name))
		}
	}
	return out
}

func unchanged(*subject) []string { return nil }
