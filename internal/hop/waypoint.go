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
	for _, key := range egress.Bends(labels) {
		refuse("labels", key)
	}
	for _, key := range egress.BendsByAnnotation(entry.GetAnnotations()) {
		refuse("annotations", key)
	}
	return out
}
