package hop

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// injectMutual leads a route so that it can be carried by mutual TLS, which proxies speak to sealed hosts and not to the
// gateway's Service: to the host itself, whose entry has the calls at the gateway.
func injectMutual(known *recorder, route egress.Route, bareSubset bool, namespace string, gw egress.Gateway, view egress.View) {
	switch {
	case route.ToGateway && (route.Raw["subset"] == nil || bareSubset):
		if host, port := askedOf(route, namespace, gw, view); port != 0 {
			known.replace(destinationSlot(route.Destination), leadingTo(host, port))
		}
	case toTLSPort(route) && route.AsksOnlyFor():
		if http := egress.PortsOf(route.Ports, egress.FamilyHTTP); len(http) > 0 && askable(route, gw) {
			known.replace(headersSlot(route.Destination), askingForPort(route))
			known.replace(destinationSlot(route.Destination), leadingTo(route.Canonical, http[0]))
		} else if len(http) == 0 {
			// Sidecars read no HTTP of the host. What they read of it at the HTTP port of another must not leave in clear.
			known.replace(destinationSlot(route.Destination), leadingTo(route.Canonical, Nowhere))
		}
	default:
		pairs(known, route, namespace, gw, view)
	}
}

// Nowhere is a port that no entry may have: one at which sidecars listen themselves.
const Nowhere = 15001

// leadingTo is a destination.
func leadingTo(host string, port uint32) map[string]any {
	return map[string]any{"host": host, "port": map[string]any{"number": int64(port)}}
}

// askedOf returns the one host, and the port of it, that calls of a route to the gateway's Service ask for; port is 0
// where they may be several, or the namespace has no entry of it.
func askedOf(route egress.Route, namespace string, gw egress.Gateway, view egress.View) (host string, port uint32) {
	if len(route.Targets) == 0 || !route.Reach.Mesh || route.Reach.Gateway {
		return "", 0
	}
	host = route.Targets[0].Canonical
	if slices.ContainsFunc(route.Targets, func(target egress.Target) bool { return !target.Certain || target.Canonical != host }) {
		return "", 0
	}
	entry := egress.Through(view.Entries(host), namespace, gw.Name)
	if entry == nil {
		return "", 0
	}
	family := egress.PortsOf(entry.Ports, route.Family())
	if len(family) == 1 {
		return host, family[0]
	}
	matches := egress.Matches(route.Route)
	for _, number := range family {
		if len(matches) > 0 && !slices.ContainsFunc(matches, func(match map[string]any) bool { return !egress.MatchesPort(match, number) }) {
			return host, number
		}
	}
	return "", 0
}

// toTLSPort says whether HTTP calls are led to a TLS port of a sealed host, where a DestinationRule is to encrypt them.
func toTLSPort(route egress.Route) bool {
	return route.Section == "http" && route.Serving != nil && route.Serving.Gateway != "" &&
		slices.ContainsFunc(route.Ports, func(port egress.Port) bool {
			return port.Number == route.Port() && egress.FamilyOf(port.Protocol) == egress.FamilyTLS
		})
}

// askable says whether such calls can be made to ask the gateway for the TLS port: it encrypts them (encryptedExit).
func askable(route egress.Route, gw egress.Gateway) bool {
	return route.AsksOnlyFor() && gw.Port(egress.FamilyHTTP) != 0 && gw.Name == route.Serving.Gateway
}

// Unencrypted returns the HTTP routes of a VirtualService, as its author wrote it, that lead calls to a TLS port of their host for which no rule of
// those who share its exit sets tls: the gateway answers them itself.
func Unencrypted(vs *egress.VirtualService) (out []egress.Route) {
	for _, route := range vs.Routes {
		if toTLSPort(route) && route.AsksOnlyFor() && route.Exit != nil && route.Exit.Definition.TLS[route.Port()] == nil {
			out = append(out, route)
		}
	}
	return out
}

// askingForPort returns the headers of a route's destination with which its calls ask for the very port that it leads to.
func askingForPort(route egress.Route) map[string]any {
	return asking(route.Holder["headers"], fmt.Sprintf("%s:%d", route.Canonical, route.Port()))
}

// asking returns the headers of a destination with the Host header set.
func asking(headers any, host string) map[string]any {
	out, _ := runtime.DeepCopyJSONValue(headers).(map[string]any)
	if out == nil {
		out = map[string]any{}
	}
	request, _ := out["request"].(map[string]any)
	set, _ := request["set"].(map[string]any)
	if request == nil {
		request = map[string]any{}
	}
	if set == nil {
		set = map[string]any{}
	}
	set["host"] = host
	request["set"], out["request"] = set, request
	return out
}
