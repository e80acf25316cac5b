package hop

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// CheckSettings refuses settings of a DestinationRule that proxies would reject, some of them with all routes of a port or with the port,
// and those that cost all who share a proxy with its calls. Whoever sees the host applies them, whosever rule it is.
func CheckSettings(rule *egress.Rule) (out Refusals) {
	checkSubsets(&out, rule)
	everySettings(rule.Policy, rule.Subsets, func(settings map[string]any, path *field.Path) { checkSettings(&out, settings, path) })
	return out
}

func checkSettings(out *Refusals, settings map[string]any, path *field.Path) {
	checkRanges(out, settings, path)
	found, _, _ := unstructured.NestedFieldNoCopy(settings, "loadBalancer", "consistentHash")
	hash, _ := found.(map[string]any)
	if hash == nil {
		return
	}
	at := path.Child("loadBalancer", "consistentHash")
	checkSizes(out, hash, at)
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
	checkTime(out, cookie, at, 0, "ttl")
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

// carried returns settings of a rule without those that CheckSettings refuses, since a gateway carries other exits too: a rule may have
// been stored before such were refused.
func carried(settings map[string]any) map[string]any {
	for key := range settings {
		var refusals Refusals
		if checkSettings(&refusals, map[string]any{key: settings[key]}, nil); len(refusals) > 0 {
			delete(settings, key)
		}
	}
	return settings
}
