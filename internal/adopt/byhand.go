package adopt

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// byHand is a VirtualService as its author wrote it, read as a hop.
type byHand struct {
	written *unstructured.Unstructured
	*egress.VirtualService
	// to are the routes by which sidecars lead calls to an egress gateway, on those by which such a gateway leads them to a host of the
	// VirtualService.
	to, on []egress.Route
	// leading are all routes to egress gateways, whoever goes by them.
	leading []egress.Route
	// more is what else it does, empty for nothing.
	more string
}

// call is what a hop leads: calls of a host, to a port of a section, where it names one.
type call struct {
	host, section string
	port          uint32
}

func readByHand(vs *unstructured.Unstructured, mesh *egress.Mesh, view egress.View) byHand {
	out := byHand{written: vs, VirtualService: egress.Resolve(vs, mesh, view)}
	leads := map[string]bool{}
	for _, route := range out.Routes {
		leads[route.RoutePath.String()] = true
		toGateway := route.Reach.Mesh && !route.Reach.Gateway && route.ToGateway
		onward := route.Reach.Gateway && !route.Reach.Mesh && route.Bound == (egress.Bound{Egress: true}) && slices.Contains(out.hosts(), route.Canonical)
		if route.ToGateway {
			out.leading = append(out.leading, route)
		}
		switch {
		case toGateway:
			out.to = append(out.to, route)
		case onward:
			out.on = append(out.on, route)
		default:
			out.more = fmt.Sprintf("%s leads to %s", route.RoutePath, route.Canonical)
			continue
		}
		elsewhere := func(asked egress.Target) bool { return !asked.Within(route.Canonical) }
		switch {
		case !plain(route.Route):
			out.more = fmt.Sprintf("%s does more than lead to the gateway", route.RoutePath)
		case onward && slices.ContainsFunc(route.Targets, elsewhere):
			out.more = fmt.Sprintf("%s leads calls of other hosts to %s", route.RoutePath, route.Canonical)
		}
	}
	// What redirects, answers or delegates leads nowhere itself.
	for _, section := range []string{"http", "tls", "tcp"} {
		for i := range egress.RoutesOf(vs, section) {
			if path := field.NewPath("spec", section).Index(i).String(); !leads[path] {
				out.more = fmt.Sprintf("%s does more than lead to the gateway", path)
			}
		}
	}
	return out
}

// is says whether it is a hop, or a part of one.
func (b byHand) is() bool {
	return b.VirtualService != nil && len(b.Hosts) > 0 && len(b.to)+len(b.on) > 0
}

// hosts are those of the VirtualService.
func (b byHand) hosts() (out []string) {
	for _, target := range b.Hosts {
		out = append(out, target.Canonical)
	}
	return out
}

// calls are those that it leads to a gateway, and of each of its hosts whatever entries have.
func (b byHand) calls() (out []call) {
	for _, host := range b.hosts() {
		out = append(out, call{host: host})
	}
	for _, to := range b.to {
		ports := matched(to.Route)
		if len(ports) == 0 {
			ports = []uint32{0}
		}
		for _, asked := range to.Targets {
			for _, port := range ports {
				out = append(out, call{asked.Canonical, to.Section, port})
			}
		}
	}
	return out
}

// matched returns the ports whose calls a route takes, none where it takes those of any.
func matched(route map[string]any) (out []uint32) {
	for _, match := range egress.Matches(route) {
		port := egress.Number(match["port"])
		if port == 0 {
			return nil
		}
		out = append(out, port)
	}
	return out
}

// plain says whether a route leads calls, by gateway, port and SNI alone, to one destination, and does nothing else to them.
func plain(route map[string]any) bool {
	destinations, _ := route["route"].([]any)
	if len(destinations) != 1 || !only(route, "match", "route", "name") {
		return false
	}
	destination, _ := destinations[0].(map[string]any)
	for _, match := range egress.Matches(route) {
		if !only(match, "gateways", "port", "sniHosts", "name") {
			return false
		}
	}
	return only(destination, "destination", "weight")
}

func only(of map[string]any, keys ...string) bool {
	for key := range of {
		if !slices.Contains(keys, key) {
			return false
		}
	}
	return true
}
