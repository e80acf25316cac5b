package egress

import (
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Target is a host that a route asks the far side for: by Host header or SNI.
type Target struct {
	// Host is as written, Canonical with a short name expanded.
	Host, Canonical string
	// Path is where it stands in the object.
	Path *field.Path
	// OfSpec is true for a host of the VirtualService itself, which its routes leave as it is.
	OfSpec bool
	// Certain is false when the route changes the Host header in a way that hides what is asked for.
	Certain bool
}

// targets returns the hosts that the calls of a destination ask for: a rewritten authority, the SNI a TLS route
// matches, or else the VirtualService's hosts, which are given.
func (r *resolver) targets(d Destination) []Target {
	switch d.Section {
	case "http":
		if rewrite, ok := d.Route["rewrite"].(map[string]any); ok {
			if authority, _ := rewrite["authority"].(string); authority != "" {
				return []Target{r.target(authority, d.RoutePath.Child("rewrite", "authority"), true)}
			}
		}
		for _, holder := range []map[string]any{d.Route, d.Holder} {
			if host, ok := setHost(holder); ok {
				return []Target{r.target(host, d.RoutePath.Child("headers", "request", "set"), false)}
			}
		}
	case "tls":
		out := []Target{}
		for _, match := range Matches(d.Route) {
			names, _ := stringList(match["sniHosts"])
			for _, name := range names {
				out = append(out, r.target(name, d.RoutePath.Child("match"), true))
			}
		}
		return out
	}
	return r.hosts
}

func (r *resolver) target(host string, path *field.Path, certain bool) Target {
	return Target{Host: host, Canonical: r.mesh.Qualify(host, r.namespace), Path: path, Certain: certain}
}

func setHost(holder map[string]any) (string, bool) {
	request, _, _ := unstructured.NestedMap(holder, "headers", "request")
	for _, verb := range []string{"set", "add"} {
		headers, _ := request[verb].(map[string]any)
		for name, value := range headers {
			if strings.EqualFold(name, "host") || name == ":authority" {
				host, _ := value.(string)
				return host, true
			}
		}
	}
	return "", false
}
