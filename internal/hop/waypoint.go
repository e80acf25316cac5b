package hop

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// A bound entry has the labels by which ambient mode has its calls come by a waypoint, which checks who calls and leads them on to
// the sealed endpoint. It is sealed all the same: ztunnel calls past a waypoint that is not ready or does not take the namespace, and
// a pod's own sidecar past any.

var waypointLabels = []string{egress.UseWaypoint, egress.UseWaypointNamespace}

func metadataPath(kind, key string) *field.Path { return field.NewPath("metadata", kind).Key(key) }

func labelsOf(entry *unstructured.Unstructured) map[string]any {
	metadata, _ := entry.Object["metadata"].(map[string]any)
	out, _ := metadata["labels"].(map[string]any)
	return out
}

func waypointSlots(labels map[string]any) (out []slot) {
	for _, key := range waypointLabels {
		out = append(out, slot{metadataPath("labels", key).String(), labels, key})
	}
	return out
}

// unbind gives the author's labels back. What no label can be, nobody's record puts there.
func unbind(entry *unstructured.Unstructured, known record) {
	labels := labelsOf(entry)
	before := len(labels)
	known.restore(waypointSlots(labels))
	for _, key := range waypointLabels {
		if _, is := labels[key].(string); !is {
			delete(labels, key)
		}
	}
	if before > 0 && len(labels) == 0 {
		unstructured.RemoveNestedField(entry.Object, "metadata", "labels")
	}
}

// bind binds an entry to the waypoint of its gateway, where it has one.
func bind(entry *unstructured.Unstructured, gw egress.Gateway, known *recorder) {
	waypoint := gw.WaypointOf(entry.GetNamespace())
	if waypoint.Name == "" {
		return
	}
	labels := labelsOf(entry)
	if labels == nil {
		labels = map[string]any{}
		entry.Object["metadata"].(map[string]any)["labels"] = labels
	}
	for i, value := range []string{waypoint.Name, waypoint.Namespace} {
		known.replace(waypointSlots(labels)[i], value)
	}
}

// BoundTo returns the waypoint that an entry is bound to as it is stored, the zero value for none.
func BoundTo(entry *unstructured.Unstructured) egress.Waypoint {
	return egress.BoundTo(entry.GetLabels(), entry.GetNamespace())
}

// checkWaypoint refuses what an author would have lead the calls, or some of them, past the waypoint of the gateway.
func checkWaypoint(entry *unstructured.Unstructured, gw egress.Gateway) (out Refusals) {
	waypoint := gw.WaypointOf(entry.GetNamespace())
	if waypoint.Name == "" {
		return nil
	}
	refuse := func(kind, key string) {
		out.add("other-waypoint", metadataPath(kind, key),
			fmt.Sprintf("leads calls of pods in ambient mode past waypoint %s of egress gateway %q, which checks who calls", waypoint, gw.Name),
			"remove it; the entry is bound to the waypoint when it is stored")
	}
	labels := labelsOf(entry)
	for i, value := range []string{waypoint.Name, waypoint.Namespace} {
		if have, given := labels[waypointLabels[i]]; given && have != value {
			refuse("labels", waypointLabels[i])
		}
	}
	for _, key := range []string{egress.UseWaypointCanary, egress.UseWaypointCanaryNamespace} {
		if _, given := labels[key]; given {
			refuse("labels", key)
		}
	}
	if _, given := entry.GetAnnotations()[egress.UseWaypointCanaryWeight]; given {
		refuse("annotations", egress.UseWaypointCanaryWeight)
	}
	return out
}

// WaypointPolicyName returns the name of the WaypointPolicy of an entry.
func WaypointPolicyName(entry string) string { return exitName(entry, "waypoint/"+entry) }

// WaypointPolicySpec returns the spec of the AuthorizationPolicy of ours by which the waypoint of an entry turns everybody away but
// those who may call all of its ports: whom some entry of each host lets in, since ztunnel goes by one entry for all that have none
// of their own. It denies, so that no policy of a tenant's lets in more. Where everybody may call, or the entry is bound to no
// waypoint, it is nil.
func WaypointPolicySpec(mesh *egress.Mesh, view egress.View, entry *egress.Entry) map[string]any {
	gw, known := mesh.GatewayByName(entry.Gateway)
	if !known || entry.Waypoint.Name == "" {
		return nil
	}
	governed := func(namespace string) bool { return view.GatewayOf(namespace) != "" }
	may := egress.Callers{Anyone: true}
	for _, host := range entry.Hosts {
		exit := view.Exit(host, gw.Namespace())
		for _, port := range entry.Ports {
			may = may.And(exit.Callers(port.Number, entry.Leg(), governed))
		}
	}
	if may.Anyone {
		return nil
	}
	// Without a condition it is for all.
	rule := map[string]any{}
	if principals := (callers{egress.Grants{entry.Namespace: may}, mesh, view}).principals(); len(principals) > 0 {
		rule["from"] = []any{map[string]any{"source": map[string]any{"notPrincipals": principals}}}
	}
	return map[string]any{
		"targetRefs": []any{map[string]any{"group": "networking.istio.io", "kind": "ServiceEntry", "name": entry.Name}},
		"action":     "DENY",
		"rules":      []any{rule},
	}
}

// principals returns the callers as AuthorizationPolicies name them: service accounts, or all of a namespace.
func (c callers) principals() (out []any) {
	for _, name := range c.bounded(func(namespace string, accounts []string) []string {
		of := c.mesh.TrustDomain + "/ns/" + namespace + "/sa/"
		if accounts == nil {
			return []string{of + "*"}
		}
		out := make([]string, len(accounts))
		for i, account := range accounts {
			out[i] = of + account
		}
		return out
	}) {
		out = append(out, name)
	}
	return out
}

// WaypointPolicy returns the object of a WaypointPolicySpec, nil for none.
func WaypointPolicy(entry *egress.Entry, spec map[string]any) Object {
	if spec == nil {
		return nil
	}
	of := meta(entry.Namespace, WaypointPolicyName(entry.Name), "")
	of.Labels[GatewayLabel] = entry.Gateway
	of.Annotations = map[string]string{EntryAnnotation: entry.Name}
	out := untyped("AuthorizationPolicy", of, spec)
	out.SetAPIVersion("security.istio.io/v1")
	return out
}
