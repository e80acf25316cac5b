package hop

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// A wildcard that no endpoint serves stands for hosts that nobody can list. A gateway that resolves wildcards asks DNS for
// the very name that a call is for; wildcardexit.go makes it do so.

// refuseWildcard refuses a wildcard without an endpoint to serve it that the gateway does not resolve, and says whether
// it did.
func refuseWildcard(out *Refusals, host string, at *field.Path, gw egress.Gateway) bool {
	wide := egress.Wide(egress.Canonical(host))
	switch {
	case wide != "":
		out.add("wide-wildcard", at, fmt.Sprintf("wildcard host %q %s", host, wide), "name the hosts one by one, or a wildcard below a domain of their owner's")
	case !gw.Wildcards:
		out.add("bare-wildcard", at, fmt.Sprintf("wildcard host %q has no serving host, so the gateway cannot resolve it", host),
			"name the hosts one by one, or give spec.endpoints one host that serves them all and resolution DNS; or ask the platform team for an egress gateway with wildcards: Resolve")
	default:
		return false
	}
	return true
}

// checkDynamic holds an entry against what Istio takes of resolution DYNAMIC_DNS, where the gateway does as it says.
func checkDynamic(out *Refusals, entry *egress.ServiceEntry, gw egress.Gateway, at *field.Path) {
	switch {
	case !gw.Wildcards:
		out.add("resolution", at, fmt.Sprintf("resolution %s cannot be done by an egress gateway", entry.Resolution), "set resolution DNS and name the hosts")
	case len(entry.Endpoints) > 0, len(entry.Addresses) > 0:
		out.add("resolution", at, fmt.Sprintf("resolution %s takes no endpoints and no addresses", entry.Resolution), "remove them, or set resolution DNS")
	case !slices.Equal(entry.Bare(), entry.Hosts):
		out.add("resolution", at, fmt.Sprintf("resolution %s is for wildcards alone", entry.Resolution), "set resolution DNS, which the gateway does for both")
	}
}

// checkWildcardPorts refuses what cannot be said of hosts that are known by name alone: raw TCP names none, and a name is called
// where its caller says.
func checkWildcardPorts(entry *egress.ServiceEntry, gw egress.Gateway) (out Refusals) {
	bare := entry.Bare()
	if len(bare) == 0 {
		return nil
	}
	for i, port := range entry.Ports {
		at := field.NewPath("spec", "ports").Index(i)
		if gw.Transport == egress.MutualTLS && egress.FamilyOf(port.Protocol) == egress.FamilyTCP {
			out.add("raw-protocol", at.Child("protocol"),
				fmt.Sprintf("protocol %q of port %d carries no host name, so the gateway cannot tell which host below %q is called", port.Protocol, port.Number, bare[0]),
				protocolFix(entry, gw, port))
		}
		if gw.Wildcards && port.TargetPort != 0 && port.TargetPort != port.Number {
			out.add("wildcard-target-port", at.Child("targetPort"),
				fmt.Sprintf("the gateway calls a host below %q on the port that its caller names, which is %d", bare[0], port.Number),
				"declare the port that the hosts serve and remove targetPort; or name the hosts one by one")
		}
	}
	return out
}
