package hop

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// CheckRoutes returns why routes of a VirtualService cannot be expressed as hops. The gateway tells the HTTP ports of
// a host apart by the port in the Host header, so a route must not lead calls of one port to another port of a host
// that has several.
func CheckRoutes(vs *unstructured.Unstructured, mesh *egress.Mesh, world egress.World) (out Refusals) {
	for _, d := range egress.Destinations(vs) {
		entries := world.Entries(mesh.Qualify(d.Host(), vs.GetNamespace()))
		if d.Section != "http" || d.Port() == 0 || len(entries) == 0 || entries[0].Gateway == "" || !egress.ReachOf(vs, d.Route).Mesh {
			continue
		}
		http, sought := 0, false
		for _, port := range entries[0].Ports {
			if egress.FamilyOf(port.Protocol) == egress.FamilyHTTP {
				http++
				sought = sought || port.Number == d.Port()
			}
		}
		if http > 1 && sought && !samePort(d, entries[0].Ports) {
			out = append(out, Refusal{"port-mapping", d.Field + ".port.number",
				fmt.Sprintf("host %q has several HTTP ports, and the egress gateway goes by the one in the Host header, not by port %d", d.Host(), d.Port()),
				fmt.Sprintf("match port: %d in this route, so that only calls to it are led there", d.Port())})
		}
	}
	return out
}
