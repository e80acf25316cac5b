package admit

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

func sameSpec(a, b *unstructured.Unstructured) bool {
	return b != nil && equality.Semantic.DeepEqual(a.Object["spec"], b.Object["spec"])
}

// rewriteWarnings tell the author of an object that will be stored what was changed, and what it means where it is not
// what was asked for. An apply that changes nothing is silent.
func (g *Governor) rewriteWarnings(subject *subject) []string {
	after, mesh := subject.object, g.Mesh
	before, err := hop.Intent(after, mesh)
	if err != nil || sameSpec(after, subject.old) {
		return nil
	}
	if after.GetKind() == "VirtualService" {
		var out []string
		was := egress.Destinations(before)
		for i, d := range egress.Destinations(after) {
			if gw, ok := mesh.GatewayByService(d.Host()); ok && was[i].Host() != d.Host() {
				out = append(out, fmt.Sprintf("%s: calls to %s now leave through egress gateway %q", d.Field, was[i].Host(), gw.Name))
			}
		}
		return bounded(out)
	}
	gw, ok := hop.SealedTo(after, mesh)
	if !ok {
		return nil
	}
	out := []string{fmt.Sprintf("spec.endpoints: calls to this entry's hosts now leave through egress gateway %q", gw.Name)}
	resolution, _, _ := unstructured.NestedString(before.Object, "spec", "resolution")
	if resolution == "" || resolution == "NONE" {
		out = append(out, "spec.resolution: NONE lets the client choose the address; the egress gateway asks DNS for the host instead")
	}
	return out
}
