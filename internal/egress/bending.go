package egress

import (
	"maps"
	"slices"
	"strings"
)

// What istiod reads of an entry's metadata in ambient mode, and no author has to say: by these it takes the entry for a waypoint, which has
// none, or for an object of its own, or has a share of the calls go by another waypoint. The guard entries of the chart has the same
// names.
//
// Whatever else it reads leads no calls past a waypoint: istio.io/ingress-use-waypoint is about ingress gateways, and
// service.istio.io/canonical-* about metrics; traffic-distribution, connect-strategy and persistent sessions choose among endpoints, of
// which a sealed entry has one; by networking.istio.io/tunnel, security.istio.io/tlsMode and ambient.istio.io/redirection that one is
// called in a form that the gateway does not take. istio.io/rev and networking.istio.io/enable-autoallocate-ip are refused for
// themselves.
var (
	bendingLabels      = []string{UseWaypointCanary, UseWaypointCanaryNamespace, "gateway.istio.io/managed"}
	bendingAnnotations = []string{UseWaypointCanaryWeight}
)

// istiodsOwn begins the labels and annotations by which istiod marks what it makes itself.
const istiodsOwn = "internal.istio.io/"

// Bending returns the labels and annotations of an entry by which istiod leads its calls past the waypoint that it is bound to, and what
// further ones of both begin with.
func Bending() (labels, annotations []string, prefix string) {
	return slices.Clone(bendingLabels), slices.Clone(bendingAnnotations), istiodsOwn
}

// Bends returns the names of such labels among an entry's own, sorted, whatever their values are.
func Bends[V any](labels map[string]V) []string { return namedAmong(labels, bendingLabels) }

// BendsByAnnotation is Bends of annotations.
func BendsByAnnotation[V any](annotations map[string]V) []string {
	return namedAmong(annotations, bendingAnnotations)
}

func namedAmong[V any](of map[string]V, names []string) (out []string) {
	for _, name := range slices.Sorted(maps.Keys(of)) {
		if slices.Contains(names, name) || strings.HasPrefix(name, istiodsOwn) {
			out = append(out, name)
		}
	}
	return out
}
