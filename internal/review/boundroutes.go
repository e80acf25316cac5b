package review

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// maxRouteHosts bounds the hosts of a VirtualService, of each of which policies are shown facts, and the cluster's view keeps some; not
// so of an ingress. A ServiceEntry has 256 by its schema.
const maxRouteHosts = 1000

// boundRoutes refuses a VirtualService that is too much work to look at.
func boundRoutes(vs *unstructured.Unstructured) hop.Refusals {
	hosts := listOf(vs, "hosts")
	matches := 0
	for _, item := range listOf(vs, "tls") {
		route, _ := item.(map[string]any)
		matches += len(egress.Matches(route))
	}
	return slices.Concat(bound(len(hosts), egress.CountDestinations(vs), "destinations"), bound(len(hosts), matches, "TLS matches"), boundWildcards(hosts),
		boundWithin(vs))
}

// boundWithin refuses routes each of whose destinations is looked at with too much that the route matches and sets.
func boundWithin(vs *unstructured.Unstructured) hop.Refusals {
	for _, section := range []string{"http", "tls", "tcp"} {
		for i, item := range egress.RoutesOf(vs, section) {
			route, _ := item.(map[string]any)
			destinations, _ := route["route"].([]any)
			mirrors, _ := route["mirrors"].([]any)
			many := len(destinations) + len(mirrors)
			if many < 2 {
				continue // no object has more values than pairs (boundContent)
			}
			if others := valuesOf(route["match"]) + valuesOf(route["headers"]); many*others > maxPairs {
				return hop.Refusals{{
					Code: codeTooLarge, Field: field.NewPath("spec", section).Index(i).String(),
					Message: fmt.Sprintf("%d destinations, and %d values of matches and headers, of one route are more than %d pairs", many, others, maxPairs),
					Fix:     "spread them over several routes",
				}}
			}
		}
	}
	return nil
}

// valuesOf counts a value with those that it has.
func valuesOf(value any) int {
	left := size{values: math.MaxInt, patterns: math.MaxInt, text: math.MaxInt}
	left.take(value)
	return math.MaxInt - left.values
}

// aside says whether a VirtualService of more hosts than are looked at is nobody's egress, so that it is looked at as if it had one.
func aside(s *subject) bool {
	return len(boundRoutes(ofOneHost(s.Object))) == 0 && egress.Aside(s.Object, s.Mesh, s.View)
}

// ofOneHost is an object with the first of its hosts alone. What it has else is the object's own, and not to be changed.
func ofOneHost(object *unstructured.Unstructured) *unstructured.Unstructured {
	spec, _ := object.Object["spec"].(map[string]any)
	spec, whole := maps.Clone(spec), maps.Clone(object.Object)
	if hosts, _ := spec["hosts"].([]any); len(hosts) > 1 {
		spec["hosts"] = hosts[:1]
	}
	whole["spec"] = spec
	return &unstructured.Unstructured{Object: whole}
}

func routeHosts(vs *unstructured.Unstructured) tally {
	return tally{len(listOf(vs, "hosts")), maxRouteHosts, "spec.hosts", "hosts"}
}
