package hop

import (
	"encoding/json"
	"fmt"
	"slices"

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
	matches := tlsMatches(vs)
	named := map[takes]map[string]bool{}
	for _, match := range matches {
		if named[match.takes] == nil {
			named[match.takes] = map[string]bool{}
		}
		for _, name := range match.names {
			named[match.takes][name] = named[match.takes][name] || !match.subnets
		}
	}
	for _, host := range vs.Told {
		patterns := egress.Patterns(host.Canonical)
		for _, match := range matches {
			if slices.ContainsFunc(match.wider(), func(wider takes) bool {
				return slices.ContainsFunc(patterns, func(pattern string) bool { return named[wider][pattern] })
			}) {
				continue
			}
			out = append(out, leftOut(host, match, patterns))
			break
		}
	}
	return out
}

func leftOut(host egress.Target, match tlsMatch, patterns []string) egress.Finding {
	out := egress.Finding{
		Code: "left-out", Field: match.path.Child("sniHosts").String(),
		Message: fmt.Sprintf("with this route, sidecars know %q by the names of TLS routes alone, and no route that takes the same calls is for that name, so calls to it would go past the egress gateway", host.Host),
		Fix:     fmt.Sprintf("add a TLS route for %q, which names it in spec.hosts and in sniHosts", host.Host),
	}
	if host.OfSpec {
		out.Fix = fmt.Sprintf("add %q to sniHosts of a TLS route, or write a VirtualService for each host", host.Host)
	}
	if match.subnets && slices.ContainsFunc(patterns, func(pattern string) bool { return slices.Contains(match.names, pattern) }) {
		out.Field = match.path.Child("destinationSubnets").String()
		out.Message = fmt.Sprintf("with this route, sidecars know %q at these addresses alone, so calls to any other that the host has would go past the egress gateway", host.Host)
		out.Fix = "remove destinationSubnets"
	}
	return out
}

// tlsMatches returns the matches of the TLS routes that sidecars apply. Istio passes by a route without destinations.
func tlsMatches(vs *egress.VirtualService) (out []tlsMatch) {
	var last string
	for _, route := range vs.Routes {
		if route.Section != "tls" || route.RoutePath.String() == last {
			continue
		}
		last = route.RoutePath.String()
		for i, raw := range egress.Matches(route.Route) {
			if gateways := texts(raw["gateways"]); len(gateways) == 0 && !vs.Mesh || len(gateways) > 0 && !slices.Contains(gateways, "mesh") {
				continue
			}
			match := tlsMatch{path: route.RoutePath.Child("match").Index(i), subnets: len(texts(raw["destinationSubnets"])) > 0}
			match.port = egress.PortOf(map[string]any{"port": map[string]any{"number": raw["port"]}})
			match.namespace, _ = raw["sourceNamespace"].(string)
			if labels, given := raw["sourceLabels"].(map[string]any); given && len(labels) > 0 {
				text, _ := json.Marshal(labels) // maps of strings are sorted by key
				match.labels = string(text)
			}
			for _, name := range texts(raw["sniHosts"]) {
				match.names = append(match.names, egress.Canonical(name))
			}
			out = append(out, match)
		}
	}
	return out
}

// texts reads a list of strings.
func texts(value any) (out []string) {
	items, _ := value.([]any)
	for _, item := range items {
		if text, is := item.(string); is {
			out = append(out, text)
		}
	}
	return out
}
