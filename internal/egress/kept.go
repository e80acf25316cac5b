package egress

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// What the view of a cluster keeps of an object, and so what a namespace may have of it in all.

// Leads returns the hosts that a VirtualService leads to and that are neither Services nor gateways, and those that sidecars
// apply it for: whose calls these are may change.
func Leads(vs *unstructured.Unstructured, mesh *Mesh) []string {
	hosts := map[string]bool{}
	if OfSidecars(GatewayNames(vs)) {
		for _, host := range Hosts(vs) {
			hosts[mesh.Qualify(host, vs.GetNamespace())] = true
		}
	}
	for _, d := range Destinations(vs) {
		hosts[mesh.Qualify(d.Host(), vs.GetNamespace())] = true
	}
	maps.DeleteFunc(hosts, func(host string, _ bool) bool { return mesh.InCluster(host) })
	return slices.Sorted(maps.Keys(hosts))
}

// RuleValues counts those of the settings of a rule, 0 for none and for a Service's: as many of these as a mesh has.
func (m *Mesh) RuleValues(r *Rule) int {
	if r == nil || m.InCluster(r.Host) {
		return 0
	}
	return values(r.Policy) + values(r.Subsets)
}

func values(of any) (out int) {
	switch v := of.(type) {
	case map[string]any:
		for _, item := range v {
			out += 1 + values(item)
		}
	case []any:
		for _, item := range v {
			out += 1 + values(item)
		}
	}
	return out
}
