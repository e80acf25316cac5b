package hop

import (
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// CheckSettings refuses settings of a DestinationRule that are a part of routes and ports, and that proxies would reject with these:
// those by which calls are hashed, and how long connections may be idle. Others are a part of the host's own cluster alone.
func CheckSettings(rule *egress.Rule) (out Refusals) {
	everySettings(rule.Policy, rule.Subsets, func(settings map[string]any, path *field.Path) { checkSettings(&out, settings, path) })
	return out
}

func checkSettings(out *Refusals, settings map[string]any, path *field.Path) {
	checkTime(out, settings, path, "connectionPool", "tcp", "idleTimeout")
	found, _, _ := unstructured.NestedFieldNoCopy(settings, "loadBalancer", "consistentHash")
	hash, _ := found.(map[string]any)
	if hash == nil {
		return
	}
	at := path.Child("loadBalancer", "consistentHash")
	for _, key := range []string{"httpHeaderName", "httpQueryParameterName"} {
		if name, given := hash[key].(string); given {
			checkHashed(out, name, at.Child(key))
		}
	}
	cookie, _ := hash["httpCookie"].(map[string]any)
	if cookie == nil {
		return
	}
	at = at.Child("httpCookie")
	name, _ := cookie["name"].(string)
	checkHashed(out, name, at.Child("name"))
	checkTime(out, cookie, at, "ttl")
	for i, attribute := range egress.Objects(cookie, "attributes") {
		name, _ := attribute["name"].(string)
		checkHashed(out, name, at.Child("attributes").Index(i).Child("name"))
		if value, _ := attribute["value"].(string); strings.ContainsAny(value, unfit) || len(value) > maxHeader {
			out.add(CodeBadValue, at.Child("attributes").Index(i).Child("value"), fmt.Sprintf("%.200q is no value of a cookie's attribute, %s", value, unruly), "write a short one in one line")
		}
	}
}

// unruly is what becomes of a rule of which Envoy does not take a part.
const unruly = "and every proxy that sees the rule would reject its configuration"

// checkHashed refuses the name of a header, parameter or cookie that Envoy does not take.
func checkHashed(out *Refusals, name string, path *field.Path) {
	if name == "" || strings.ContainsAny(name, unfit) || len(name) > maxHeader {
		out.add(CodeBadValue, path, fmt.Sprintf("%.200q is no name to hash calls by, %s", name, unruly), "name what the calls have")
	}
}

// checkTime refuses a time of less than nothing: Istio looks at whole milliseconds alone.
func checkTime(out *Refusals, of map[string]any, path *field.Path, keys ...string) {
	written, given, _ := unstructured.NestedString(of, keys...)
	if !given {
		return
	}
	if span, err := time.ParseDuration(written); err != nil || span < 0 {
		out.add(CodeBadValue, path.Child(keys[0], keys[1:]...), fmt.Sprintf("%.200q is no length of time, %s", written, unruly), "give one such as 1h, or 0s for no end")
	}
}

// carried returns settings of a rule without those for which a gateway would reject what carries other exits too: a rule may have been
// stored before such were refused.
func carried(settings map[string]any) map[string]any {
	for _, key := range []string{"connectionPool", "loadBalancer"} {
		var refusals Refusals
		if checkSettings(&refusals, map[string]any{key: settings[key]}, nil); len(refusals) > 0 {
			delete(settings, key)
		}
	}
	return settings
}
