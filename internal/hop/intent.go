package hop

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// entryIntent is the content of IntentAnnotation on a ServiceEntry.
type entryIntent struct {
	// Gateway is the Service the entry was sealed to, so that a seal is still known after the gateway was renamed.
	Gateway string `json:"gateway"`
	// Resolution and Endpoints are the author's; absent where the author left them out.
	Resolution *string `json:"resolution,omitempty"`
	Endpoints  []any   `json:"endpoints,omitempty"`
}

// Intent returns the object as its author wrote it: a ServiceEntry unsealed, a VirtualService with its own
// destinations. An object that was not rewritten comes back as it is. The error is Refusals when the annotation
// does not decode. The result shares nothing with obj.
func Intent(obj *unstructured.Unstructured, mesh *egress.Mesh) (*unstructured.Unstructured, error) {
	out := obj.DeepCopy()
	raw, annotated := out.GetAnnotations()[IntentAnnotation]
	if annotated {
		unstructured.RemoveNestedField(out.Object, "metadata", "annotations", IntentAnnotation)
		if len(out.GetAnnotations()) == 0 {
			unstructured.RemoveNestedField(out.Object, "metadata", "annotations")
		}
	}
	switch obj.GetKind() {
	case "ServiceEntry":
		return out, unseal(out, raw, mesh)
	case "VirtualService":
		return out, restoreRoutes(out, raw, mesh)
	}
	return out, nil
}

// unseal restores the fields that Seal replaced. Fields that no longer hold what Seal wrote are the author's newer
// word and stay.
func unseal(entry *unstructured.Unstructured, raw string, mesh *egress.Mesh) error {
	var intent entryIntent
	if raw != "" {
		if err := decode(raw, &intent); err != nil {
			return badAnnotation(err)
		}
		for i, endpoint := range intent.Endpoints {
			intent.Endpoints[i] = plain(endpoint)
		}
	}
	if !sealedEndpoint(entry, intent.Gateway, mesh) {
		return nil
	}
	spec, ok := entry.Object["spec"].(map[string]any)
	if !ok {
		return nil
	}
	delete(spec, "endpoints")
	if len(intent.Endpoints) > 0 {
		spec["endpoints"] = intent.Endpoints
	}
	written, _ := spec["resolution"].(string)
	if raw != "" && written == sealedResolution(intent.resolution()) {
		delete(spec, "resolution")
		if intent.Resolution != nil {
			spec["resolution"] = *intent.Resolution
		}
	}
	return nil
}

func (i entryIntent) resolution() string {
	if i.Resolution == nil {
		return ""
	}
	return *i.Resolution
}

// SealedTo returns the egress gateway that is a ServiceEntry's only endpoint.
func SealedTo(obj *unstructured.Unstructured, mesh *egress.Mesh) (egress.Gateway, bool) {
	address, ok := soleEndpoint(obj)
	if !ok {
		return egress.Gateway{}, false
	}
	return mesh.GatewayByService(address)
}

// sealedEndpoint says whether the sole endpoint is a gateway of today or the one the annotation names.
func sealedEndpoint(entry *unstructured.Unstructured, recorded string, mesh *egress.Mesh) bool {
	address, ok := soleEndpoint(entry)
	if !ok {
		return false
	}
	if _, ok := mesh.GatewayByService(address); ok {
		return true
	}
	return recorded != "" && address == recorded
}

func soleEndpoint(entry *unstructured.Unstructured) (string, bool) {
	spec, _ := entry.Object["spec"].(map[string]any)
	endpoints, _ := spec["endpoints"].([]any)
	if len(endpoints) != 1 {
		return "", false
	}
	endpoint, _ := endpoints[0].(map[string]any)
	address, _ := endpoint["address"].(string)
	return address, address != ""
}

// sealedResolution is what Seal writes for an author's resolution. NONE becomes a value that its usual successor,
// DNS, differs from: otherwise an apply that corrects NONE to DNS would show no difference and be lost.
func sealedResolution(intent string) string {
	switch intent {
	case "DNS", "STATIC":
		return "DNS"
	}
	return "DNS_ROUND_ROBIN"
}

func badAnnotation(err error) error {
	return Refusals{{
		Code:    "intent-annotation",
		Field:   "metadata.annotations[" + IntentAnnotation + "]",
		Message: "does not decode: " + err.Error(),
		Fix:     "remove the annotation; it is written by egress-governor",
	}}
}
