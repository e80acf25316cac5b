package egress

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// sections are the lists of routes of a VirtualService.
var sections = []string{"http", "tls", "tcp"}

// Destination is one place in a VirtualService that names where a call goes: a weighted destination or a mirror.
// Its maps are those of the object, so that a rewrite of them rewrites the object.
type Destination struct {
	// Section is http, tls or tcp.
	Section string
	// Path is where the destination stands, such as spec.http[0].route[1].destination, HolderPath where the element that
	// holds it does, RoutePath where its route does.
	Path, HolderPath, RoutePath *field.Path
	// Mirror is true for a destination that gets a copy of the calls.
	Mirror bool
	// Route is the route that holds the destination, Holder the element of its list (the route itself for a mirror) and
	// Key the destination's in it, Raw the destination itself.
	Route, Holder, Raw map[string]any
	Key                string
}

// Host returns the destination's host as written.
func (d Destination) Host() string {
	host, _ := d.Raw["host"].(string)
	return host
}

// Port returns the destination's port number, 0 when it is left to Istio.
func (d Destination) Port() uint32 {
	port, _ := d.Raw["port"].(map[string]any)
	return Number(port["number"])
}

// Family is the family of calls that reach the destination's section.
func (d Destination) Family() Family {
	if d.Section == "http" {
		return FamilyHTTP
	}
	return FamilyTLS
}

// Destinations returns every destination of a VirtualService, in the order of its fields.
func Destinations(vs *unstructured.Unstructured) []Destination {
	spec, _ := vs.Object["spec"].(map[string]any)
	var out []Destination
	for _, section := range sections {
		routes, _ := spec[section].([]any)
		for i, item := range routes {
			route, ok := item.(map[string]any)
			if !ok {
				continue
			}
			of := Destination{Section: section, Route: route, RoutePath: field.NewPath("spec", section).Index(i)}
			out = append(out, of.listed("route")...)
			of.Mirror = true
			if mirror, ok := route["mirror"].(map[string]any); ok {
				out = append(out, of.at(of.RoutePath, route, "mirror", mirror))
			}
			out = append(out, of.listed("mirrors")...)
		}
	}
	return out
}

// listed returns the destinations of a list of the route that d stands in.
func (d Destination) listed(key string) []Destination {
	items, _ := d.Route[key].([]any)
	var out []Destination
	for i, item := range items {
		holder, _ := item.(map[string]any)
		if raw, ok := holder["destination"].(map[string]any); ok {
			out = append(out, d.at(d.RoutePath.Child(key).Index(i), holder, "destination", raw))
		}
	}
	return out
}

func (d Destination) at(holderPath *field.Path, holder map[string]any, key string, raw map[string]any) Destination {
	d.Path, d.HolderPath, d.Holder, d.Key, d.Raw = holderPath.Child(key), holderPath, holder, key, raw
	return d
}

// Matches returns the match blocks of a route.
func Matches(route map[string]any) []map[string]any {
	items, _ := route["match"].([]any)
	out := make([]map[string]any, 0, len(items))
	for _, item := range items {
		if match, ok := item.(map[string]any); ok {
			out = append(out, match)
		}
	}
	return out
}

// MatchesPort says whether a match block takes calls of this port only.
func MatchesPort(match map[string]any, port uint32) bool { return Number(match["port"]) == port }

// Reach says which proxies apply a route.
type Reach struct{ Mesh, Gateway bool }

// reachOf returns which proxies apply a route: the match's gateways narrow those of the spec, which are given, and
// none at all means the mesh.
func reachOf(gateways []string, route map[string]any) Reach {
	whole := reach(gateways)
	var out Reach
	matches := Matches(route)
	if len(matches) == 0 {
		return whole
	}
	for _, match := range matches {
		own, found := stringList(match["gateways"])
		narrowed := whole
		if found && len(own) > 0 {
			narrowed = reach(own)
		}
		out.Mesh = out.Mesh || narrowed.Mesh
		out.Gateway = out.Gateway || narrowed.Gateway
	}
	return out
}

func reach(gateways []string) Reach {
	if len(gateways) == 0 {
		return Reach{Mesh: true}
	}
	var out Reach
	for _, name := range gateways {
		if name == "mesh" {
			out.Mesh = true
		} else {
			out.Gateway = true
		}
	}
	return out
}

func stringList(value any) ([]string, bool) {
	items, ok := value.([]any)
	if !ok {
		return nil, false
	}
	out := make([]string, 0, len(items))
	for _, item := range items {
		if s, ok := item.(string); ok {
			out = append(out, s)
		}
	}
	return out, true
}

// Number reads a JSON number of whichever Go type the decoder chose; 0 for anything else.
func Number(value any) uint32 {
	switch n := value.(type) {
	case int64:
		return uint32(n)
	case float64:
		return uint32(n)
	}
	return 0
}

// text is a string of an object, empty for anything else.
func text(of map[string]any, key string) string {
	out, _ := of[key].(string)
	return out
}
