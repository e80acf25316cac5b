package egress

import (
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Target is a host that a route asks the far side for: by Host header or SNI.
type Target struct {
	// Host is as written; Field is its path in the object.
	Host, Field string
	// Certain is false when the route changes the Host header in a way that hides what is asked for.
	Certain bool
}

// Targets returns the hosts that the calls of a destination ask for: a rewritten authority, the SNI a TLS route
// matches, or else the VirtualService's hosts.
func Targets(vs *unstructured.Unstructured, d Destination) []Target {
	if d.Section == "http" {
		if rewrite, ok := d.Route["rewrite"].(map[string]any); ok {
			if authority, _ := rewrite["authority"].(string); authority != "" {
				return []Target{{authority, routeField(d) + ".rewrite.authority", true}}
			}
		}
		for _, holder := range []map[string]any{d.Route, d.Holder} {
			if host, ok := setHost(holder); ok {
				return []Target{{host, routeField(d) + ".headers.request.set", false}}
			}
		}
	}
	if d.Section == "tls" {
		var out []Target
		for _, match := range Matches(d.Route) {
			names, _ := stringList(match["sniHosts"])
			for _, name := range names {
				out = append(out, Target{name, routeField(d) + ".match", true})
			}
		}
		return out
	}
	hosts, _, _ := unstructured.NestedStringSlice(vs.Object, "spec", "hosts")
	out := make([]Target, len(hosts))
	for i, host := range hosts {
		out[i] = Target{host, indexed("spec.hosts", i), true}
	}
	return out
}

// routeField is the path of the route that holds a destination: spec.http[0] of spec.http[0].route[1].destination.
func routeField(d Destination) string {
	return d.Field[:strings.Index(d.Field, "]")+1]
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
