package hop

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// askingSlots are those of the fields by which a route can have calls of a destination ask for a host, where they are given.
func askingSlots(d egress.Destination) (out []slot) {
	if d.Mirror {
		return nil
	}
	all := []slot{headersSlot(d)}
	if d.Section == "http" && d.Place.Item == 0 {
		all = append(all, slot{d.RoutePath.Child("rewrite").String(), d.Route, "rewrite"}, slot{d.RoutePath.Child("headers").String(), d.Route, "headers"})
	}
	for _, s := range all {
		if _, given := s.parent[s.key]; given {
			out = append(out, s)
		}
	}
	return out
}

// askingInstead returns the value of a field by which calls are made to ask for a host with another in the place of that, and whether it
// asks for any.
func askingInstead(s slot, host string) (now map[string]any, asks bool) {
	now, _ = runtime.DeepCopyJSONValue(s.parent[s.key]).(map[string]any)
	if s.key == "rewrite" {
		if authority, _ := now["authority"].(string); authority != "" {
			now["authority"], asks = host, true
		}
		return now, asks
	}
	request, _ := now["request"].(map[string]any)
	set, _ := request["set"].(map[string]any)
	for name := range set {
		if egress.IsHostHeader(name) {
			set[name], asks = host, true
		}
	}
	return now, asks
}

// reservedOf returns the name that only egress-governor gives, and the port, which calls of a destination are made to ask for; empty for none.
func reservedOf(d egress.Destination) string {
	if d.Mirror || d.Section != "http" {
		return ""
	}
	rewritten, _, _ := unstructured.NestedString(d.Route, "rewrite", "authority")
	asked := []string{rewritten}
	for _, of := range []map[string]any{d.Route, d.Holder} {
		for name, value := range egress.HeadersOf(of, "request", "set") {
			if text, _ := value.(string); egress.IsHostHeader(name) {
				asked = append(asked, text)
			}
		}
	}
	for _, authority := range asked {
		if egress.IsReserved(egress.HostOnly(authority)) {
			return authority
		}
	}
	return ""
}
