package review

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// detours refuses what an egress gateway is the wrong way to: forward proxies that are called so, which ask it for the hosts of
// others, and names that the mesh's own ingress serves, by the word of the platform or of the namespace itself. Of what is only
// likely, and of other tenants' Gateways, which would keep anybody from having an entry, the author is told.
func detours(s *subject, intent *egress.ServiceEntry) (out hop.Refusals) {
	if !intent.External() {
		return nil
	}
	for i, port := range intent.Ports {
		if isProxy(port) {
			out = append(out, egress.Finding{
				Code: "forward-proxy", Field: field.NewPath("spec", "ports").Index(i).Child("name").String(),
				Message: fmt.Sprintf("port %d is called %q: calls to a forward proxy are for other hosts, and the egress gateway goes by the host that a call is for", port.Number, port.Name),
				Fix:     "write ServiceEntries for the hosts behind it, and let apps call them without it" + byTCP(s) + "; where it is no forward proxy, call the port otherwise",
			})
		}
	}
	governed := s.View.Governed()
	for i, host := range intent.Hosts {
		for _, binding := range s.served(host) {
			if _, others := governed.Index(binding.Namespace); others && binding.Namespace != s.Namespace.Name {
				continue
			}
			out = append(out, egress.Finding{
				Code: "own-ingress", Field: field.NewPath("spec", "hosts").Index(i).String(),
				Message: fmt.Sprintf("Gateway %s/%s of the mesh serves %s, so calls would leave by the egress gateway to come in there again", binding.Namespace, binding.Name, host),
				Fix:     "write the entry with location MESH_INTERNAL, resolution DNS and as its endpoint the Service in the mesh that serves the host",
			})
			break
		}
	}
	return out
}

func byTCP(s *subject) string {
	if s.gateway.Transport == egress.MutualTLS {
		return ", or declare protocol TCP"
	}
	return ""
}

// isProxy says whether an HTTP port is called a forward proxy's.
func isProxy(port egress.Port) bool {
	return egress.FamilyOf(port.Protocol) == egress.FamilyHTTP && strings.Contains(strings.ToLower(port.Name), "proxy")
}

// served returns the Gateways by which the mesh serves a host itself.
func (s *subject) served(host string) []*egress.Binding {
	return slices.DeleteFunc(slices.Clone(s.View.Serving(egress.Canonical(host))), func(binding *egress.Binding) bool {
		return len(s.Mesh.Opened(binding, s.View)) > 0
	})
}

// ownIngress says of hosts that the mesh serves itself: their calls would leave, and come in again if at all.
func ownIngress(s *subject, intent *egress.ServiceEntry) (out []string) {
	for i, host := range intent.Hosts {
		if served := s.served(host); len(served) > 0 {
			out = append(out, fmt.Sprintf("spec.hosts[%d]: Gateway %s/%s of the mesh serves %s, and calls would leave by the egress gateway to come in there again; for calls that stay in the mesh, write it with location MESH_INTERNAL, resolution DNS and as its endpoint the Service that serves the host",
				i, served[0].Namespace, served[0].Name, host))
		}
	}
	return out
}

func proxyChange(proxies string) string {
	return fmt.Sprintf("spec.ports: %s: if this is a forward proxy, it cannot be used through the egress gateway, which goes by the host that a call is for; name the hosts behind it instead", proxies)
}

// forwardProxies names the HTTP ports that are commonly those of forward proxies, by number.
func forwardProxies(intent *egress.ServiceEntry) string {
	var out []string
	for _, port := range intent.Ports {
		if slices.Contains([]uint32{3128, 8118, 8888}, port.Number) && egress.FamilyOf(port.Protocol) == egress.FamilyHTTP {
			out = append(out, fmt.Sprintf("%d (%s)", port.Number, port.Name))
		}
	}
	return strings.Join(out, ", ")
}
