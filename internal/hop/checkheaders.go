package hop

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// unfit are characters that Envoy takes in no name and value of a header, and in no host and path of a route.
const unfit = "\x00\r\n"

// maxHeader bounds a name and a value of a header, in bytes, and maxHeaders how many of them one route sets or adds.
const maxHeader, maxHeaders = 16 << 10, 1000

// rejected is what becomes of a route of which Envoy does not take a part.
const rejected = "and every proxy that sees the route would reject its configuration"

// CheckHeaders refuses names and values of headers of a VirtualService's routes that proxies would reject, those of routes that lead
// nowhere among them.
func CheckHeaders(vs *unstructured.Unstructured) (out Refusals) {
	for i, item := range egress.RoutesOf(vs, "http") {
		route, _ := item.(map[string]any)
		path := field.NewPath("spec", "http").Index(i)
		checkHeaders(&out, route, nil, path)
		to, _ := route["route"].([]any)
		for j, item := range to {
			holder, _ := item.(map[string]any)
			checkHeaders(&out, holder, route, path.Child("route").Index(j))
		}
	}
	return out
}

// checkHeaders looks at the headers of a route, or of a destination below one.
func checkHeaders(out *Refusals, holder, route map[string]any, path *field.Path) {
	headers, _ := holder["headers"].(map[string]any)
	if headers == nil {
		return
	}
	for _, side := range []string{"request", "response"} {
		at := path.Child("headers", side)
		count := 0
		for _, verb := range []string{"add", "set"} {
			values := egress.HeadersOf(holder, side, verb)
			count += len(values) + len(egress.HeadersOf(route, side, verb))
			for _, name := range slices.Sorted(maps.Keys(values)) {
				value, _ := values[name].(string)
				checkHeader(out, name, value, at.Child(verb))
			}
		}
		if count > maxHeaders {
			out.add(codeHeaderFormat, at, fmt.Sprintf("more than %d headers are set or added for one call, %s", maxHeaders, rejected), "set fewer")
		}
		of, _ := headers[side].(map[string]any)
		checkHeaderNames(out, of["remove"], at.Child("remove"))
	}
}

const codeHeaderFormat = "header-format"

func checkHeader(out *Refusals, name, value string, path *field.Path) {
	if strings.ContainsAny(name, unfit) || len(name) > maxHeader {
		out.add(codeHeaderFormat, path, unfitName(name), "write a header's name")
		return
	}
	switch at := path.Key(name); {
	case strings.ContainsAny(value, unfit):
		out.add(codeHeaderFormat, at, fmt.Sprintf("value %.200q has a character that no header has, %s", value, rejected), "write it in one line")
	case len(value) > maxHeader:
		out.add(codeHeaderFormat, at, fmt.Sprintf("the value has more than %d bytes, %s", maxHeader, rejected), "write a shorter one")
	case !isFormat(value):
		out.add(codeHeaderFormat, at, fmt.Sprintf("value %.200q has a %%…%% that Envoy does not know or does not take so, %s", value, rejected),
			"write %% for a percent sign, or a command of Envoy's such as %REQ(x-request-id)%")
	}
}

// checkHeaderNames looks at names of headers that are removed.
func checkHeaderNames(out *Refusals, names any, path *field.Path) {
	for i, name := range egress.Texts(names) {
		if strings.ContainsAny(name, unfit) {
			out.add(codeHeaderFormat, path.Index(i), unfitName(name), "write a header's name")
		}
	}
}

func unfitName(name string) string {
	return fmt.Sprintf("name %.200q is none that a header has, %s", name, rejected)
}
