package hop

import (
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// IsClientRoute says whether a VirtualService has the marks of those that ClientRoutes makes.
func IsClientRoute(vs *unstructured.Unstructured) bool {
	_, marked := vs.GetAnnotations()[HostAnnotation]
	return marked && vs.GetLabels()[ManagedByLabel] == Manager
}

// ClientRoutes returns the VirtualServices of ours by which clients of a namespace's own entries of a host come to the
// egress gateway where routes alone lead there: one route for each port, seen by whoever sees an entry with it and has no
// route of the author's. They differ in who sees them, and there is commonly one.
func ClientRoutes(mesh *egress.Mesh, view egress.View, namespace, host string) (out []*unstructured.Unstructured) {
	own := ledEntries(mesh, view.Entries(host), namespace)
	if len(own) == 0 {
		return nil
	}
	gw, _ := mesh.GatewayByName(own[0].Gateway)
	routings := view.Routings(namespace, host)
	ports, seenBy := map[string][]egress.Port{}, map[string][]any{}
	for _, port := range portsOf(own) {
		exportTo, needed := seeingRoute(own, routings, host, port)
		if needed {
			key := exportKey(exportTo)
			ports[key], seenBy[key] = append(ports[key], port), exportTo
		}
	}
	for _, key := range slices.Sorted(maps.Keys(ports)) {
		of := meta(namespace, exitName(host, "client-route/"+key+"/"+host), host)
		of.Labels[GatewayLabel] = gw.Name
		out = append(out, untyped("VirtualService", of, clientRouteSpec(gw, host, ports[key], seenBy[key])))
	}
	return out
}

// ledEntries returns a namespace's own entries that routes lead to a gateway, sealed ones among them: they are led once they
// are written again, and never without.
func ledEntries(mesh *egress.Mesh, entries []*egress.Entry, namespace string) (out []*egress.Entry) {
	for _, entry := range entries {
		if mesh.ByRoutes() && entry.Namespace == namespace && entry.Gateway != "" && entry.Transport == egress.Plain {
			out = append(out, entry)
		}
	}
	return out
}

// portsOf returns the ports of entries, each number once.
func portsOf(entries []*egress.Entry) (out []egress.Port) {
	for _, entry := range entries {
		for _, port := range entry.Ports {
			if !slices.ContainsFunc(out, func(p egress.Port) bool { return p.Number == port.Number }) {
				out = append(out, port)
			}
		}
	}
	slices.SortFunc(out, func(a, b egress.Port) int { return int(a.Number) - int(b.Number) })
	return out
}

// seeingRoute returns who must see a route of ours for a port: whoever sees an entry that has it, but for those who see one
// of the author's. Istio takes a route that is exported by name before one that is exported to everybody, and of two alike
// the older: one of ours that may be both is not seen where an author's is.
func seeingRoute(own []*egress.Entry, routings []*egress.Routing, host string, port egress.Port) (exportTo []any, needed bool) {
	theirs := map[string]bool{}
	for _, routing := range routings {
		if !routing.Takes(host, port) {
			continue
		}
		names, all := egress.Clients(routing.ExportTo, routing.Namespace)
		if all {
			return nil, false
		}
		for _, name := range names {
			theirs[name] = true
		}
	}
	seeing := map[string]bool{}
	for _, entry := range own {
		if !slices.ContainsFunc(entry.Ports, func(p egress.Port) bool { return p.Number == port.Number }) {
			continue
		}
		names, all := egress.Clients(entry.ExportTo, entry.Namespace)
		if all {
			return nil, true
		}
		for _, name := range names {
			seeing[name] = seeing[name] || !theirs[name]
		}
	}
	for _, name := range slices.Sorted(maps.Keys(seeing)) {
		if seeing[name] {
			exportTo = append(exportTo, name)
		}
	}
	return exportTo, len(exportTo) > 0
}

func exportKey(exportTo []any) string {
	names := make([]string, len(exportTo))
	for i, name := range exportTo {
		names[i], _ = name.(string)
	}
	return strings.Join(names, ",")
}

// clientRouteSpec leads the calls of ports of a host to the gateway, as the app speaks.
func clientRouteSpec(gw egress.Gateway, host string, ports []egress.Port, exportTo []any) map[string]any {
	var http, tls []any
	for _, port := range ports {
		match := map[string]any{"port": int64(port.Number)}
		if egress.FamilyOf(port.Protocol) == egress.FamilyHTTP {
			http = append(http, match)
			continue
		}
		match["sniHosts"] = []any{host}
		tls = append(tls, match)
	}
	out := map[string]any{"hosts": []any{host}}
	if len(exportTo) > 0 {
		out["exportTo"] = exportTo
	}
	to := func(family egress.Family, match []any) []any {
		return []any{map[string]any{"match": match, "route": []any{map[string]any{"destination": leadingTo(gw.Service, gw.Port(family))}}}}
	}
	if len(http) > 0 {
		out["http"] = to(egress.FamilyHTTP, http)
	}
	if len(tls) > 0 {
		out["tls"] = to(egress.FamilyTLS, tls)
	}
	return out
}
