package egress

import (
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Target is a host that a route asks the far side for: by Host header or SNI.
type Target struct {
	// Host is as written, Canonical with a short name expanded.
	Host, Canonical string
	// Port is the one that is asked for with the host, 0 for none.
	Port uint32
	// Path is where it stands in the object.
	Path *field.Path
	// OfSpec is true for a host of the VirtualService itself, which its routes leave as it is.
	OfSpec bool
	// Added is true for one that is added to the Host header, or to what is in its place.
	Added bool
	// Certain is false when the route changes the Host header in a way that hides what is asked for.
	Certain bool
}

// Within says whether what is asked for is a canonical host, or a name below it where that is a wildcard.
func (t Target) Within(host string) bool { return slices.Contains(Patterns(t.Canonical), host) }

// HostOnly takes the port off what calls ask for.
func HostOnly(authority string) string {
	if host, _, err := net.SplitHostPort(authority); err == nil {
		return host
	}
	return authority
}

// targets returns the hosts that the calls of a destination ask for: every authority that its route or itself sets,
// the SNI a TLS route matches, or else those of the VirtualService's hosts, which are given, that an HTTP route matches.
func (r *resolver) targets(d Destination) []Target {
	switch d.Section {
	case "http":
		if out := r.authorities(d); len(out) > 0 {
			return out
		}
		return r.matched(d)
	case "tls":
		out := []Target{}
		for _, match := range Matches(d.Route) {
			for _, name := range Texts(match["sniHosts"]) {
				out = append(out, r.target(name, d.RoutePath.Child("match"), true))
			}
		}
		return out
	}
	return r.hosts
}

// matched returns the hosts of the spec whose calls an HTTP route takes: those that its matches name, where each names one
// in full. Names below a wildcard stand for it.
func (r *resolver) matched(d Destination) (out []Target) {
	matches := Matches(d.Route)
	named := map[string]bool{}
	for _, match := range matches {
		authority, _ := match["authority"].(map[string]any)
		name := r.target(text(authority, "exact"), nil, true).Canonical
		if name == "" {
			return r.hosts
		}
		if named[name] {
			continue
		}
		named[name] = true
		host, known := r.standingFor(name)
		if !known {
			// The mesh's own have several names.
			return r.hosts
		}
		out = append(out, host)
	}
	if len(matches) == 0 {
		return r.hosts
	}
	return out
}

// standingFor returns the host of the spec by which a name is one of its own, as that name.
func (r *resolver) standingFor(name string) (Target, bool) {
	if r.places == nil {
		r.places = make(map[string]int, len(r.hosts))
		for i, host := range r.hosts {
			r.places[host.Canonical] = i
		}
	}
	for _, pattern := range Patterns(name) {
		if i, is := r.places[pattern]; is {
			out := r.hosts[i]
			if pattern != name {
				out.Host, out.Canonical = name, name
			}
			return out, true
		}
	}
	return Target{}, false
}

// authorities returns all that an HTTP route and its destination put in the place of the Host header: which of several
// wins is Envoy's business, so each counts. One that is set as a header hides what is asked for where it holds a format.
func (r *resolver) authorities(d Destination) (out []Target) {
	if rewrite, ok := d.Route["rewrite"].(map[string]any); ok {
		if authority, _ := rewrite["authority"].(string); authority != "" {
			out = append(out, r.target(authority, d.RoutePath.Child("rewrite", "authority"), true))
		}
	}
	holders := []struct {
		of   map[string]any
		path *field.Path
	}{{d.Route, d.RoutePath}, {d.Holder, d.HolderPath}}
	if d.Holder == nil || d.Mirror {
		holders = holders[:1]
	}
	for _, holder := range holders {
		for _, verb := range []string{"set", "add"} {
			headers := HeadersOf(holder.of, "request", verb)
			if len(headers) == 0 {
				continue
			}
			path := holder.path.Child("headers", "request", verb)
			for _, name := range slices.Sorted(maps.Keys(headers)) {
				if IsHostHeader(name) {
					host, _ := headers[name].(string)
					target := r.target(host, path, false)
					target.Added = verb == "add"
					out = append(out, target)
				}
			}
		}
	}
	return out
}

// IsHostHeader says whether a header is the one that says what host is asked for, by either of its names.
func IsHostHeader(name string) bool {
	return strings.EqualFold(name, "host") || strings.EqualFold(name, ":authority")
}

// HeadersOf returns the headers that a route or a destination sets or adds: the object's own, which are not to be changed.
func HeadersOf(holder map[string]any, side, verb string) map[string]any {
	headers, _ := holder["headers"].(map[string]any)
	of, _ := headers[side].(map[string]any)
	out, _ := of[verb].(map[string]any)
	return out
}

// delegated returns what the HTTP routes that have no destination of their own ask for: what they delegate to inherits it,
// and says nothing of whose calls it leads. Routes of gateways are for whichever names the gateway is called by.
func (r *resolver) delegated(vs *unstructured.Unstructured, gateways []string) (out []Target) {
	for i, item := range RoutesOf(vs, "http") {
		route, ok := item.(map[string]any)
		if !ok || route["route"] != nil {
			continue
		}
		set := r.authorities(Destination{Section: "http", Route: route, RoutePath: field.NewPath("spec", "http").Index(i)})
		if len(set) == 0 && route["delegate"] != nil && reachOf(gateways, route).Mesh {
			set = r.hosts
		}
		out = append(out, set...)
	}
	return out
}

func (r *resolver) target(host string, path *field.Path, certain bool) Target {
	out := Target{Host: host, Path: path, Certain: certain}
	name := host
	if bare, port, err := net.SplitHostPort(host); err == nil {
		name = bare
		number, _ := strconv.ParseUint(port, 10, 16) // 0 is as good as none
		out.Port = uint32(number)
	}
	out.Canonical = r.mesh.Qualify(name, r.namespace)
	return out
}
