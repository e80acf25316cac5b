package review

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// maxPairs bounds what an object of two lists can ask for: each host is looked at with each route, endpoint and port, so
// that 100 KB of manifest would otherwise cost gigabytes. People write dozens.
const maxPairs = 50_000

// maxWildcards bounds the wildcards of one object.
const maxWildcards = 100

// boundEntry refuses a ServiceEntry that is too much work to look at.
func boundEntry(entry *unstructured.Unstructured) hop.Refusals {
	hosts := listOf(entry, "hosts")
	return slices.Concat(bound(len(hosts), len(listOf(entry, "endpoints")), "endpoints"), bound(len(hosts), len(listOf(entry, "ports")), "ports"), boundWildcards(hosts),
		bound(len(hosts), len(listOf(entry, "exportTo")), "namespaces"),
		bound(len(listOf(entry, "endpoints")), len(listOf(entry, "ports")), "ports"))
}

// boundRoutes refuses a VirtualService that is too much work to look at.
func boundRoutes(vs *unstructured.Unstructured) hop.Refusals {
	hosts := listOf(vs, "hosts")
	matches := 0
	for _, item := range listOf(vs, "tls") {
		route, _ := item.(map[string]any)
		matches += len(egress.Matches(route))
	}
	return slices.Concat(bound(len(hosts), len(egress.Destinations(vs)), "destinations"), bound(len(hosts), matches, "TLS matches"), boundWildcards(hosts))
}

// boundWildcards: a wildcard is held against all hosts there are.
func boundWildcards(hosts []any) hop.Refusals {
	wildcards := 0
	for _, host := range hosts {
		if name, _ := host.(string); egress.IsWildcard(name) {
			wildcards++
		}
	}
	return bound(wildcards, maxPairs/maxWildcards, "known hosts")
}

func bound(hosts, others int, name string) hop.Refusals {
	if hosts*others <= maxPairs {
		return nil
	}
	return hop.Refusals{{
		Code: "too-large", Field: field.NewPath("spec", "hosts").String(),
		Message: fmt.Sprintf("%d hosts and %d %s are more than %d pairs", hosts, others, name, maxPairs),
		Fix:     "spread the hosts over several objects",
	}}
}

// listOf is a list of the spec, nil for none.
func listOf(object *unstructured.Unstructured, key string) []any {
	spec, _ := object.Object["spec"].(map[string]any)
	items, _ := spec[key].([]any)
	return items
}
