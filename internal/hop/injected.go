package hop

import (
	"fmt"
	"reflect"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// The record of a rewrite is anybody's to write: what it says an author wrote is believed where a rewrite could have put
// what is stored in the place of it, and policies see the rest as it is.

// CheckInjected refuses a VirtualService that, as it is stored, differs from what its record says that its author wrote by more than a
// rewrite does, whatever a replica knew of the cluster when it made it.
func CheckInjected(stored, intent *unstructured.Unstructured, mesh *egress.Mesh) (out Refusals) {
	if stored != intent && !egress.SameValue(stored.Object["spec"], intent.Object["spec"]) && !injected(holding(stored), intent, mesh) {
		out.add("not-injected", field.NewPath("metadata", "annotations").Key(IntentAnnotation), "the routes were changed after they were rewritten",
			"apply them again; if this stays, another mutating webhook rewrites VirtualServices")
	}
	return out
}

// injected takes what a rewrite may have put into a VirtualService out of it, and says whether that leaves what was written.
func injected(stored, intent *unstructured.Unstructured, mesh *egress.Mesh) bool {
	now, was := egress.Destinations(stored), egress.Destinations(intent)
	if len(now) != len(was) {
		return false
	}
	for i, d := range now {
		if d.Place != was[i].Place {
			return false
		}
		if asksFor(d, was[i]) {
			restored(d.Holder, was[i].Holder, "headers")
		}
		written := askingSlots(was[i])
		for _, s := range askingSlots(d) {
			at := slices.IndexFunc(written, func(of slot) bool { return of.path == s.path })
			if at >= 0 && asksInstead(s, written[at], reservedOf(d)) {
				restored(s.parent, written[at].parent, s.key)
			}
		}
		if leadsFor(d, was[i], mesh) {
			restored(d.Holder, was[i].Holder, d.Key)
		}
	}
	spec, _ := stored.Object["spec"].(map[string]any)
	written, _ := intent.Object["spec"].(map[string]any)
	if reflect.DeepEqual(spec["exportTo"], []any{"."}) {
		restored(spec, written, "exportTo")
	}
	return egress.SameValue(any(spec), any(written))
}

// leadsFor says whether a rewrite may have put a destination in the place of another: a gateway stands for hosts, by mutual
// TLS they for it, and a host for another port of its own.
func leadsFor(d, was egress.Destination, mesh *egress.Mesh) bool {
	_, toGateway := mesh.GatewayByService(d.Host())
	_, fromGateway := mesh.GatewayByService(was.Host())
	return toGateway || fromGateway || egress.Canonical(d.Host()) == egress.Canonical(was.Host())
}

// asksFor says whether the headers of a destination are the author's with the Host that a rewrite sets: a pair's, or the
// host's own with its port.
func asksFor(d, was egress.Destination) bool {
	host, _, _ := unstructured.NestedString(d.Holder, "headers", "request", "set", "host")
	if d.Mirror || host == "" {
		return false
	}
	ours := egress.IsReserved(egress.HostOnly(host)) || host == fmt.Sprintf("%s:%d", egress.Canonical(was.Host()), was.Port())
	return ours && reflect.DeepEqual(d.Holder["headers"], any(asking(was.Holder["headers"], host)))
}

// asksInstead says whether a field by which calls are made to ask for a host is the author's with a name that only egress-governor gives in
// the place of that.
func asksInstead(s, written slot, reserved string) bool {
	now, asks := askingInstead(written, reserved)
	return reserved != "" && asks && egress.SameValue(s.parent[s.key], any(now))
}

// restored gives a field the value of another object's.
func restored(of, from map[string]any, key string) {
	if value, given := from[key]; given {
		of[key] = value
	} else {
		delete(of, key)
	}
}
