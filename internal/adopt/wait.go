package adopt

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// wait leaves alone the entries of hosts that something leads to which cannot be stored as it would be: what it says of their calls
// might come to mean something else.
func (p *Plan) wait(mesh *egress.Mesh) {
	against := map[string]string{}
	p.each(func(of *Object) {
		if of.State == Stays && of.GetKind() != "ServiceEntry" {
			for _, host := range about(of.Unstructured, mesh) {
				against[host] = fmt.Sprintf("%s %s/%s leads its calls, and would be %s", of.GetKind(), of.GetNamespace(), of.GetName(), of.Verdict)
			}
		}
	})
	p.each(func(of *Object) {
		if of.State != Seal && of.State != Held {
			return
		}
		parsed, err := egress.ParseServiceEntry(of.Unstructured)
		if err != nil {
			return
		}
		for _, host := range parsed.Hosts {
			for _, pattern := range egress.Patterns(egress.Canonical(host)) {
				if why := against[pattern]; why != "" {
					of.State, of.For = Waits, why
				}
			}
		}
	})
}

// about returns the hosts of whose calls an object says something.
func about(object *unstructured.Unstructured, mesh *egress.Mesh) (out []string) {
	add := func(host string) { out = append(out, mesh.Qualify(host, object.GetNamespace())) }
	switch object.GetKind() {
	case "VirtualService":
		for _, host := range egress.Hosts(object) {
			add(host)
		}
		for _, destination := range egress.Destinations(object) {
			add(destination.Host())
		}
	case "DestinationRule":
		host, _, _ := unstructured.NestedString(object.Object, "spec", "host")
		add(host)
	}
	return out
}
