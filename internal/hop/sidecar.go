package hop

import (
	"cmp"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ClosingName is the name of the objects of ours that close a governed namespace.
const ClosingName = "egress-governor"

const (
	outboundPath = "spec.outboundTrafficPolicy"
	registryOnly = "REGISTRY_ONLY"
)

// Sidecar returns the Sidecar of ours by which the proxies of a namespace drop calls to hosts that no entry names. Beside
// that they have what they would have without one: what the wide Sidecar of Istio's root namespace says, nil for none. It is
// not typed, since REGISTRY_ONLY is Istio's zero value and would be left out.
func Sidecar(namespace string, root *unstructured.Unstructured) *unstructured.Unstructured {
	spec := map[string]any{"egress": []any{map[string]any{"hosts": []any{"*/*"}}}}
	if root != nil {
		for _, key := range []string{"egress", "ingress", "inboundConnectionPool"} {
			if value, given, _ := unstructured.NestedFieldCopy(root.Object, "spec", key); given && value != nil {
				spec[key] = value
			}
		}
	}
	spec["outboundTrafficPolicy"] = closed()
	return untyped("Sidecar", meta(namespace, ClosingName, ""), spec)
}

func closed() map[string]any { return map[string]any{"mode": registryOnly} }

// IsClosing says whether an object has the name and the mark of those that close a namespace.
func IsClosing(object Object) bool {
	return object.GetName() == ClosingName && object.GetLabels()[ManagedByLabel] == Manager
}

// SidecarIntent returns a Sidecar as its author wrote it. The error is Refusals when the annotation does not decode. The
// result shares nothing with the object.
func SidecarIntent(sidecar *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	out := sidecar.DeepCopy()
	known, err := decode(take(out))
	if err != nil {
		return nil, badAnnotation(err)
	}
	if spec, is := out.Object["spec"].(map[string]any); is {
		known.restore([]slot{outboundSlot(spec)})
	}
	return out, nil
}

func outboundSlot(spec map[string]any) slot { return slot{outboundPath, spec, "outboundTrafficPolicy"} }

// CloseSidecar completes, in place, a Sidecar as its author wrote it, where it leaves to the mesh what becomes of calls to
// hosts that no entry names. The error is Refusals when it is too large.
func CloseSidecar(sidecar *unstructured.Unstructured) error {
	if SidecarMode(sidecar) != "" {
		return nil
	}
	spec, is := sidecar.Object["spec"].(map[string]any)
	if !is {
		spec = map[string]any{}
		sidecar.Object["spec"] = spec
	}
	var known recorder
	known.replace(outboundSlot(spec), closed())
	return known.keep(sidecar, field.NewPath("metadata", "annotations"), "give the Sidecar fewer annotations")
}

// SidecarMode returns how a Sidecar has calls to hosts that no entry names go, as Istio reads it; empty where the mesh
// decides.
func SidecarMode(sidecar *unstructured.Unstructured) string {
	policy, given, _ := unstructured.NestedMap(sidecar.Object, "spec", "outboundTrafficPolicy")
	if !given || policy == nil {
		return ""
	}
	mode, _ := policy["mode"].(string)
	return cmp.Or(mode, registryOnly)
}

// CheckSidecar returns what opens a namespace that is to be closed.
func CheckSidecar(sidecar *unstructured.Unstructured) (out Refusals) {
	path := field.NewPath("spec", "outboundTrafficPolicy")
	switch mode := SidecarMode(sidecar); mode {
	case registryOnly:
	case "":
		out.add("not-closed", path, "the Sidecar was changed after it was completed", "apply it again; if this stays, another mutating webhook rewrites Sidecars")
	default:
		out.add("sidecar-allow-any", path.Child("mode"), mode+" lets calls to hosts that no ServiceEntry names leave beside the egress gateway",
			"remove outboundTrafficPolicy or set mode REGISTRY_ONLY, and write a ServiceEntry for each host that is called")
	}
	return out
}

// SidecarIsWide says whether a Sidecar is for every workload of its namespace. Istio takes one such, the oldest; those with a
// selector, if an empty one, come before it.
func SidecarIsWide(sidecar *unstructured.Unstructured) bool {
	selector, given, _ := unstructured.NestedFieldNoCopy(sidecar.Object, "spec", "workloadSelector")
	return !given || selector == nil
}
