package hop

import (
	"fmt"
	"maps"
	"slices"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// checkSubnets refuses TLS and TCP routes of sidecars for addresses that their hosts do not have. Envoy chooses among the calls of a
// port by the address first, and goes back to none: what is for another host at such an address would be taken, or, where a name
// is asked for, go wherever calls go that no entry names. What is said already is not said again.
func checkSubnets(vs *egress.VirtualService, said Refusals) (out Refusals) {
	if !vs.External {
		return nil
	}
	last := ""
	for _, route := range vs.Routes {
		if route.Section == "http" || !route.Reach.Mesh || route.RoutePath.String() == last {
			continue
		}
		last = route.RoutePath.String()
		for i, match := range egress.Matches(route.Route) {
			at := route.RoutePath.Child("match").Index(i).Child("destinationSubnets")
			for j, subnet := range egress.Texts(match["destinationSubnets"]) {
				if vs.Awaits(subnet) || slices.ContainsFunc(said, func(refusal egress.Finding) bool { return refusal.Field == at.String() }) {
					continue
				}
				out.add("destination-subnets", at.Index(j),
					fmt.Sprintf("sidecars tell calls apart by their address first, so that calls to %s for other hosts would be taken by this route, or go past the egress gateway", subnet),
					"remove destinationSubnets, or name in it none but addresses that spec.addresses of the host's ServiceEntry has")
				break
			}
		}
	}
	return out
}

// checkAtAddress refuses TLS routes by names for a host that has an address at which there may be others outside the mesh: sidecars
// await all TLS calls to that address by the names of these routes, and those for other hosts at it go wherever calls go that no entry
// names.
func checkAtAddress(vs *egress.VirtualService, of matches) (out Refusals) {
	addresses := slices.DeleteFunc(slices.Sorted(maps.Keys(vs.Addresses)), func(address string) bool {
		return !vs.Addresses[address] || egress.Unrouted(address)
	})
	if match := of.without("*"); match != nil && len(addresses) > 0 {
		out.add("left-out", match.path.Child("sniHosts"),
			fmt.Sprintf("the host's ServiceEntry has address %s, at which sidecars would know the names of TLS routes alone, so calls to other hosts there would go past the egress gateway", addresses[0]),
			"remove the TLS routes, or spec.addresses of the ServiceEntry: without it, TLS calls are told apart by their names")
	}
	return out
}
