package hop

import (
	"encoding/json"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// takes are the calls that a match of a TLS route is for, but for their SNI: as Istio decides it when it configures a proxy.
type takes struct {
	port              uint32
	namespace, labels string
}

// wider returns those that take the same calls and more.
func (t takes) wider() (out []takes) {
	for _, port := range []uint32{0, t.port} {
		for _, namespace := range []string{"", t.namespace} {
			for _, labels := range []string{"", t.labels} {
				out = append(out, takes{port, namespace, labels})
			}
		}
	}
	return out
}

// tlsMatch is a match of a TLS route for calls of the mesh.
type tlsMatch struct {
	takes
	names   []string
	subnets bool
	path    *field.Path
}

// checkLeftOut refuses TLS routes that leave out calls of a host for which they are. Once one takes some calls of a host,
// Istio tells sidecars nothing of that host but the names and addresses of these routes, and what none of them is for goes
// wherever calls go that no entry names: past the egress gateway.
func checkLeftOut(vs *egress.VirtualService) (out Refusals) {
	if len(vs.Told) == 0 {
		return nil
	}
	destinations := make([]egress.Destination, len(vs.Routes))
	for i, route := range vs.Routes {
		destinations[i] = route.Destination
	}
	matches := tlsMatches(destinations, vs.Mesh)
	out = checkAtAddress(vs, matches)
	for _, host := range vs.Told {
		if host.OfSpec && vs.Of != "" {
			continue // checkForeignSNI says so
		}
		if match := matches.without(host.Canonical); match != nil {
			finding := leftOut(host, match)
			if vs.Of != "" {
				finding.Fix = fmt.Sprintf("route the TLS calls of %q by a VirtualService, which can name both", host.Host)
			}
			out = append(out, finding)
		}
	}
	return out
}

// maxNarrowed bounds how many hosts are held against how many matches of what was stored without asking us.
const maxNarrowed = 50_000

// Narrows returns the hosts of a VirtualService whose TLS calls its routes tell by their names, and the wildcards over them of which they
// take calls, and leave others out. Of one that is too much to look at, these are all.
func Narrows(vs *unstructured.Unstructured, mesh *egress.Mesh) (out []string) {
	matches := tlsMatches(egress.Destinations(vs), egress.OfSidecars(egress.GatewayNames(vs)))
	if len(matches.all) == 0 {
		return nil
	}
	seen, hosts := map[string]bool{}, egress.Hosts(vs)
	for _, host := range hosts {
		canonical := mesh.Qualify(host, vs.GetNamespace())
		if mesh.InCluster(canonical) {
			continue
		}
		if !egress.IsWildcard(canonical) && !seen[canonical] && matches.without("*") != nil {
			out = append(out, canonical)
		}
		seen[canonical] = true
		for _, wildcard := range egress.Patterns(canonical)[1:] {
			if !seen[wildcard] && (len(hosts)*len(matches.all) > maxNarrowed || matches.without(wildcard) != nil) {
				out = append(out, wildcard)
			}
			seen[wildcard] = true
		}
	}
	return out
}

// matches are those of the TLS routes of one object, with the names of those that take any address.
type matches struct {
	all   []*tlsMatch
	named map[takes]map[string]bool
}

// without returns a match that takes calls of a host of which no match takes the rest; nil for none.
func (m matches) without(host string) *tlsMatch {
	patterns := egress.Patterns(host)
	for _, match := range m.all {
		if !slices.ContainsFunc(match.wider(), func(wider takes) bool {
			return slices.ContainsFunc(patterns, func(pattern string) bool { return m.named[wider][pattern] })
		}) {
			return match
		}
	}
	return nil
}

func leftOut(host egress.Target, match *tlsMatch) egress.Finding {
	out := egress.Finding{
		Code: "left-out", Field: match.path.Child("sniHosts").String(),
		Message: fmt.Sprintf("with this route, sidecars know %q by the names of TLS routes alone, and no route that takes the same calls is for that name, so calls to it would go past the egress gateway", host.Host),
		Fix:     fmt.Sprintf("add a TLS route for %q, which names it in spec.hosts and in sniHosts", host.Host),
	}
	if host.OfSpec {
		out.Fix = fmt.Sprintf("add %q to sniHosts of a TLS route, or write a VirtualService for each host", host.Host)
	}
	if match.subnets && slices.ContainsFunc(egress.Patterns(host.Canonical), func(pattern string) bool { return slices.Contains(match.names, pattern) }) {
		out.Field = match.path.Child("destinationSubnets").String()
		out.Message = fmt.Sprintf("with this route, sidecars know %q at these addresses alone, so calls to any other that the host has would go past the egress gateway", host.Host)
		out.Fix = "remove destinationSubnets"
	}
	return out
}

// tlsMatches returns the matches of the TLS routes that sidecars apply. Istio passes by a route without destinations.
func tlsMatches(destinations []egress.Destination, mesh bool) matches {
	out := matches{named: map[takes]map[string]bool{}}
	var last string
	for _, route := range destinations {
		if route.Section != "tls" || route.RoutePath.String() == last {
			continue
		}
		last = route.RoutePath.String()
		for i, raw := range egress.Matches(route.Route) {
			if gateways := egress.Texts(raw["gateways"]); len(gateways) == 0 && !mesh || !egress.OfSidecars(gateways) {
				continue
			}
			match := &tlsMatch{path: route.RoutePath.Child("match").Index(i), subnets: len(egress.Texts(raw["destinationSubnets"])) > 0}
			match.port = egress.Number(raw["port"])
			match.namespace, _ = raw["sourceNamespace"].(string)
			if labels, given := raw["sourceLabels"].(map[string]any); given && len(labels) > 0 {
				text, _ := json.Marshal(labels) // maps of strings are sorted by key
				match.labels = string(text)
			}
			if out.named[match.takes] == nil {
				out.named[match.takes] = map[string]bool{}
			}
			for _, name := range egress.Texts(raw["sniHosts"]) {
				name = egress.Canonical(name)
				match.names = append(match.names, name)
				out.named[match.takes][name] = out.named[match.takes][name] || !match.subnets
			}
			out.all = append(out.all, match)
		}
	}
	return out
}

// toItsPort says whether TLS calls of a route come to the port that it leads to, whatever they ask for: the gateway takes them under the
// name that proxies have for the port, and reads what they ask for only where it has to resolve that.
func toItsPort(route egress.Route) bool {
	return route.Section == "tls" && slices.ContainsFunc(route.Entries, func(entry *egress.Entry) bool {
		if entry.Namespace != route.Serving.Namespace || entry.BySNI() || egress.Bare(route.Canonical, entry.Definition.Endpoints) {
			return false
		}
		return slices.ContainsFunc(entry.Ports, func(port egress.Port) bool {
			return egress.FamilyOf(port.Protocol) != egress.FamilyHTTP && (route.Port() == 0 || route.Port() == port.Number)
		})
	})
}

// AskingBySNI says how TLS calls come to a host at a gateway that goes by the SNI, or are answered by it.
func AskingBySNI(host string) string {
	out := fmt.Sprintf("let clients call %q, since nothing changes the SNI they ask for", host)
	if !egress.IsWildcard(egress.Canonical(host)) {
		out += fmt.Sprintf("; or, to have %q answer those calls, put it into spec.endpoints of the ServiceEntry of the host that they ask for, with resolution DNS", host)
	}
	return out
}
