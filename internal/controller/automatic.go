package controller

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// automatic are the HTTP calls of a sealed entry's host and port. Clients make them by the mutual TLS that Istio turns on
// by itself: no DestinationRule beside the entry says how.
type automatic struct {
	host  string
	port  uint32
	entry *egress.Entry
	// root is the rule of Istio's root namespace that they are under, nil for none.
	root *egress.Rule
}

// automaticCalls returns those to an egress gateway, by host and namespace.
func automaticCalls(mesh *egress.Mesh, view egress.View, gw egress.Gateway, rules []rootRule) (out []automatic) {
	for _, host := range view.Below("*") {
		for _, entry := range view.Entries(host) {
			if entry.Leg() != gw.Leg() {
				continue
			}
			own, root := view.Rule(entry.Namespace, host), over(mesh, view, rules, host, entry)
			for _, port := range entry.Ports {
				if egress.FamilyOf(port.Protocol) == egress.FamilyHTTP && own.Settings(port.Number)["tls"] == nil {
					out = append(out, automatic{host, port.Number, entry, root})
				}
			}
		}
	}
	slices.SortFunc(out, func(a, b automatic) int {
		return cmp.Or(cmp.Compare(a.host, b.host), cmp.Compare(a.entry.Namespace, b.entry.Namespace), cmp.Compare(a.port, b.port))
	})
	return out
}

// encryption returns the tls of a rule for a port, as Istio goes by it to tell whether endpoints take mutual TLS: unlike
// other settings, the general one holds where those of the port have none.
func encryption(rule *egress.Rule, port uint32) map[string]any {
	if rule == nil {
		return nil
	}
	out, _ := rule.Policy["tls"].(map[string]any)
	if own, has := rule.Settings(port)["tls"].(map[string]any); has {
		out = own
	}
	return out
}

// overruled says which rules of Istio's root namespace have calls reach an egress gateway otherwise than by the mesh's
// mutual TLS.
func overruled(gw egress.Gateway, calls []automatic) (out []egress.Finding) {
	said := map[string]bool{}
	for _, call := range calls {
		tls := encryption(call.root, call.port)
		if mode, _ := tls["mode"].(string); tls == nil || mode == "ISTIO_MUTUAL" || said[call.root.Name] {
			continue
		}
		said[call.root.Name] = true
		out = append(out, egress.Finding{
			Code: "root-rule",
			Message: fmt.Sprintf("DestinationRule %s/%s of Istio's root namespace sets tls for hosts behind egress gateway %q, such as %s: their HTTP calls reach it without the mesh's mutual TLS, and it refuses them",
				call.root.Namespace, call.root.Name, gw.Name, call.host),
			Fix: "narrow the host or the exportTo of that rule, or give it the mode ISTIO_MUTUAL",
		})
	}
	return out
}
