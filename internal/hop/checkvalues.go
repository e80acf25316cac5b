package hop

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// CodeBadValue is that of a value that Istio takes, and for which Envoy rejects all routes of a port, or the port.
const CodeBadValue = "bad-value"

// maxName bounds the name of a query parameter, in bytes.
const maxName = 1 << 10

// texts are the fields of an HTTP route that name hosts and paths.
var texts = [][]string{
	{"redirect", "authority"}, {"redirect", "prefixRewrite"}, {"redirect", "uri"}, {"rewrite", "authority"}, {"rewrite", "uri"}, {"rewrite", "uriRegexRewrite", "rewrite"},
}

// statuses are the fields of an HTTP route that proxies answer with.
var statuses = [][]string{{"directResponse", "status"}, {"fault", "abort", "httpStatus"}}

// redirects are the statuses that Istio has proxies redirect with. Of any other it makes a route that does nothing, which Envoy rejects.
var redirects = []int64{301, 302, 303, 307, 308}

// CheckValues refuses values of a VirtualService's HTTP routes that proxies would reject, and that neither Istio nor its CRD does.
func CheckValues(vs *unstructured.Unstructured) (out Refusals) {
	for i, item := range egress.RoutesOf(vs, "http") {
		route, _ := item.(map[string]any)
		path := field.NewPath("spec", "http").Index(i)
		for _, keys := range texts {
			checkText(&out, route, path, keys...)
		}
		for _, keys := range statuses {
			if status, given := numberAt(route, keys...); given && (status < 200 || status > 599) {
				out.add(CodeBadValue, path.Child(keys[0], keys[1:]...), fmt.Sprintf("%d is no status of an answer, %s", status, rejected), "give one of 200 to 599")
			}
		}
		if status, given := numberAt(route, "redirect", "redirectCode"); given && status != 0 && !slices.Contains(redirects, status) {
			out.add(CodeBadValue, path.Child("redirect", "redirectCode"), fmt.Sprintf("proxies do not redirect with status %d, %s", status, rejected), "give 301, 302, 303, 307 or 308")
		}
		checkWeights(&out, route, path)
		for j, match := range egress.Matches(route) {
			checkMatch(&out, match, path.Child("match").Index(j))
		}
	}
	return out
}

func checkText(out *Refusals, of map[string]any, path *field.Path, keys ...string) {
	if text, _, _ := unstructured.NestedString(of, keys...); strings.ContainsAny(text, unfit) {
		out.add(CodeBadValue, path.Child(keys[0], keys[1:]...), fmt.Sprintf("%.200q is no host and no path, %s", text, rejected), "write it in one line")
	}
}

// numberAt returns a whole number of an object; false where there is none.
func numberAt(of map[string]any, keys ...string) (int64, bool) {
	found, _, _ := unstructured.NestedFieldNoCopy(of, keys...)
	if n, whole := found.(int64); whole {
		return n, true
	}
	n, given := amountAt(of, keys...)
	return int64(n), given
}

// amountAt returns a number of an object that may have a fraction; false where there is none.
func amountAt(of map[string]any, keys ...string) (float64, bool) {
	found, _, _ := unstructured.NestedFieldNoCopy(of, keys...)
	switch n := found.(type) {
	case int64:
		return float64(n), true
	case float64:
		return n, true
	}
	return 0, false
}

// checkWeights bounds the sum of a route's weights, each of which may be as large as an int32.
func checkWeights(out *Refusals, route map[string]any, path *field.Path) {
	sum := int64(0)
	to, _ := route["route"].([]any)
	for _, item := range to {
		holder, _ := item.(map[string]any)
		weight, _ := numberAt(holder, "weight")
		sum += weight
	}
	if sum > math.MaxUint32 {
		out.add(CodeBadValue, path.Child("route"), fmt.Sprintf("the weights are %d together, %s", sum, rejected), "give smaller ones, such as percentages")
	}
}

// checkMatch looks at what a match of an HTTP route names: parameters, and claims of tokens as if they were headers.
func checkMatch(out *Refusals, match map[string]any, path *field.Path) {
	parameters, _ := match["queryParams"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(parameters)) {
		if name == "" || len(name) > maxName {
			out.add(CodeBadValue, path.Child("queryParams"), fmt.Sprintf("a parameter's name has 1 to %d bytes, and %.200q has %d, %s", maxName, name, len(name), rejected), "name the parameter")
		}
	}
	for _, key := range []string{"headers", "withoutHeaders"} {
		headers, _ := match[key].(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(headers)) {
			value, _ := headers[name].(map[string]any)
			if parts, is := claims(name); is && (slices.Contains(parts, "") || len(value) == 0) {
				out.add(CodeBadValue, path.Child(key), fmt.Sprintf("%.200q names no claim, or no value of it, %s", name, rejected),
					"name a claim, such as @request.auth.claims[group], and say by exact, prefix or regex what it is")
			}
		}
	}
}

// claims returns the parts of the name of a claim, as Istio takes a header's name apart; false for the name of a header.
func claims(name string) ([]string, bool) {
	const prefix = "@request.auth.claims"
	if len(name) < len(prefix) || !strings.EqualFold(name[:len(prefix)], prefix) {
		return nil, false
	}
	rest := name[len(prefix):]
	switch {
	case strings.HasPrefix(rest, ".") && len(rest) > 1:
		return strings.Split(rest[1:], "."), true
	case strings.HasPrefix(rest, "[") && strings.HasSuffix(rest, "]") && len(rest) > 2:
		return strings.Split(rest[1:len(rest)-1], "]["), true
	}
	return nil, false
}

// CheckAPIValues refuses values of a route of the Gateway API, whose paths and names of headers nobody else looks at.
func CheckAPIValues(route *unstructured.Unstructured) (out Refusals) {
	for i, rule := range egress.Objects(route.Object["spec"], "rules") {
		path := field.NewPath("spec", "rules").Index(i)
		checkFilters(&out, rule, path)
		for j, backend := range egress.Objects(rule, "backendRefs") {
			checkFilters(&out, backend, path.Child("backendRefs").Index(j))
		}
		if wait, _, _ := unstructured.NestedString(rule, "retry", "backoff"); wait != "" {
			if pause, err := time.ParseDuration(wait); err != nil || pause <= 0 {
				out.add(CodeBadValue, path.Child("retry", "backoff"), fmt.Sprintf("%q is no time to wait, %s", wait, rejected), "give some time, or leave it out")
			}
		}
	}
	return out
}

func checkFilters(out *Refusals, holder map[string]any, path *field.Path) {
	for k, filter := range egress.Objects(holder, "filters") {
		at := path.Child("filters").Index(k)
		for _, key := range []string{"requestRedirect", "urlRewrite"} {
			checkText(out, filter, at, key, "path", "replaceFullPath")
			checkText(out, filter, at, key, "path", "replacePrefixMatch")
		}
		for _, key := range []string{"requestHeaderModifier", "responseHeaderModifier"} {
			modifier, _ := filter[key].(map[string]any)
			checkHeaderNames(out, modifier["remove"], at.Child(key, "remove"))
		}
	}
}
