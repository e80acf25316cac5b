package egress

import (
	"slices"

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
	// Place is the same as Path, to be compared.
	Place Place
	// Mirror is true for a destination that gets a copy of the calls.
	Mirror bool
	// Route is the route that holds the destination, Holder the element of its list (the route itself for a mirror) and
	// Key the destination's in it, Raw the destination itself.
	Route, Holder, Raw map[string]any
	Key                string
}

// Place is a destination's: its section, the number of its route there, the list in that, or mirror, and its number in the list.
type Place struct {
	Section string
	Route   int
	List    string
	Item    int
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

// RoutesOf returns the routes of a section of a VirtualService: the object's own, which are not to be changed.
func RoutesOf(vs *unstructured.Unstructured, section string) []any {
	spec, _ := vs.Object["spec"].(map[string]any)
	routes, _ := spec[section].([]any)
	return routes
}

// Destinations returns every destination of a VirtualService, in the order of its fields.
func Destinations(vs *unstructured.Unstructured) []Destination {
	out := make([]Destination, 0, CountDestinations(vs))
	for _, section := range sections {
		at := field.NewPath("spec", section)
		for i, item := range RoutesOf(vs, section) {
			route, ok := item.(map[string]any)
			if !ok {
				continue
			}
			of := Destination{Section: section, Place: Place{Section: section, Route: i}, Route: route, RoutePath: at.Index(i)}
			out = of.listed(out, "route")
			of.Mirror = true
			if mirror, ok := route["mirror"].(map[string]any); ok {
				out = append(out, of.at("mirror", 0, of.RoutePath, route, "mirror", mirror))
			}
			out = of.listed(out, "mirrors")
		}
	}
	return out
}

// CountDestinations returns how many a VirtualService has, without reading them.
func CountDestinations(vs *unstructured.Unstructured) (out int) {
	for _, section := range sections {
		for _, item := range RoutesOf(vs, section) {
			route, _ := item.(map[string]any)
			if _, ok := route["mirror"].(map[string]any); ok {
				out++
			}
			for _, key := range []string{"route", "mirrors"} {
				items, _ := route[key].([]any)
				for _, item := range items {
					holder, _ := item.(map[string]any)
					if _, ok := holder["destination"].(map[string]any); ok {
						out++
					}
				}
			}
		}
	}
	return out
}

// listed appends the destinations of a list of the route that d stands in.
func (d Destination) listed(out []Destination, key string) []Destination {
	items, _ := d.Route[key].([]any)
	if len(items) == 0 {
		return out
	}
	list := d.RoutePath.Child(key)
	for i, item := range items {
		holder, _ := item.(map[string]any)
		if raw, ok := holder["destination"].(map[string]any); ok {
			out = append(out, d.at(key, i, list.Index(i), holder, "destination", raw))
		}
	}
	return out
}

func (d Destination) at(list string, item int, holderPath *field.Path, holder map[string]any, key string, raw map[string]any) Destination {
	d.Place.List, d.Place.Item = list, item
	d.Path, d.HolderPath, d.Holder, d.Key, d.Raw = holderPath.Child(key), holderPath, holder, key, raw
	return d
}

// Hosts reads the hosts of an object of a kind of Istio's that has some, as they are written.
func Hosts(object *unstructured.Unstructured) []string {
	out, _, _ := unstructured.NestedStringSlice(object.Object, "spec", "hosts")
	return out
}

// GatewayNames reads the gateways of a VirtualService, as they are written.
func GatewayNames(vs *unstructured.Unstructured) []string {
	out, _, _ := unstructured.NestedStringSlice(vs.Object, "spec", "gateways")
	return out
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
	matches := Matches(route)
	if len(matches) == 0 {
		return reach(gateways)
	}
	var out Reach
	for _, match := range matches {
		narrowed := reach(narrowed(match, gateways))
		out.Mesh = out.Mesh || narrowed.Mesh
		out.Gateway = out.Gateway || narrowed.Gateway
	}
	return out
}

// narrowed returns the gateways that a match is for: its own, or else those that are given.
func narrowed(match map[string]any, gateways []string) []string {
	if own := Texts(match["gateways"]); len(own) > 0 {
		return own
	}
	return gateways
}

// ofMesh is the name among gateways that stands for all sidecars.
const ofMesh = "mesh"

func reach(gateways []string) Reach {
	return Reach{
		Mesh:    OfSidecars(gateways),
		Gateway: slices.ContainsFunc(gateways, func(name string) bool { return name != ofMesh }),
	}
}

// OfSidecars says whether sidecars apply what is for these gateways: without any it is theirs alone.
func OfSidecars(gateways []string) bool {
	return len(gateways) == 0 || slices.Contains(gateways, ofMesh)
}

// Texts reads a list of strings of an object; what is none is left out.
func Texts(value any) []string {
	items, _ := value.([]any)
	if len(items) == 0 {
		return nil
	}
	out := make([]string, 0, len(items))
	for _, item := range items {
		if text, is := item.(string); is {
			out = append(out, text)
		}
	}
	return out
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
