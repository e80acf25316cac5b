package hop

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// Istio sorts the endpoints of a host by the labels that failoverPriority names. Of a host that DNS resolves it takes those of the first
// locality alone for all, and panics where there are more (istio/istio#61857): istiod stops, for everybody, and again whenever it starts.

const failoverPriority = "failoverPriority"

// FailsOver returns which setting of load balancing has endpoints sorted by the labels that it names, empty for none. What is for localities has
// it only where hosts are ejected, and not where calls are distributed.
func FailsOver(settings map[string]any) string {
	balancer, _ := settings["loadBalancer"].(map[string]any)
	const byZones, byLocalities = "zoneAwareLbSetting", "localityLbSetting"
	if zones, given := balancer[byZones].(map[string]any); given {
		if sorts(zones) {
			return byZones
		}
		return ""
	}
	localities, _ := balancer[byLocalities].(map[string]any)
	_, ejects := settings["outlierDetection"].(map[string]any)
	if distribute, _ := localities["distribute"].([]any); ejects && len(distribute) == 0 && sorts(localities) {
		return byLocalities
	}
	return ""
}

// Sorts says whether a rule has such a setting for some port.
func Sorts(rule *egress.Rule) (out bool) {
	settingsOf(rule.Policy, nil, func(settings map[string]any, _ *field.Path) { out = out || FailsOver(settings) != "" })
	return out
}

func sorts(of map[string]any) bool {
	labels, _ := of[failoverPriority].([]any)
	return len(labels) > 0 && of["enabled"] != false
}

// Scattered returns the first endpoint that is of another locality than the first of all, -1 where there is none, or where DNS resolves none of
// them.
func Scattered(resolution string, endpoints []egress.Endpoint) int {
	if resolution != "DNS" && resolution != "DNS_ROUND_ROBIN" {
		return -1
	}
	return slices.IndexFunc(endpoints, func(endpoint egress.Endpoint) bool { return localityOf(endpoint) != localityOf(endpoints[0]) })
}

// localityOf is the locality of an endpoint as Istio reads it.
func localityOf(endpoint egress.Endpoint) string {
	label := cmp.Or(endpoint.Labels["topology.istio.io/locality"], endpoint.Labels["istio-locality"])
	if !strings.Contains(label, "/") {
		label = strings.ReplaceAll(label, ".", "/")
	}
	return cmp.Or(endpoint.Locality, label)
}

// unsorted returns the settings of an exit's port without that by which istiod would panic: they may have been stored before it was refused.
func unsorted(settings map[string]any, definition egress.Definition) map[string]any {
	key := FailsOver(settings)
	if key == "" || Scattered(definition.Resolution, definition.Endpoints) < 0 {
		return settings
	}
	balancer := maps.Clone(settings["loadBalancer"].(map[string]any))
	of := maps.Clone(balancer[key].(map[string]any))
	delete(of, failoverPriority)
	balancer[key], settings["loadBalancer"] = of, balancer
	return settings
}
