package hop

import (
	"encoding/json"
	"fmt"

	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// Seal returns the ServiceEntry with the gateway as its only endpoint and the author's own resolution and endpoints
// in IntentAnnotation. An entry of the mesh's own (MESH_INTERNAL) comes back as its author wrote it. Sealing a sealed
// entry changes nothing. The error is Refusals when the entry cannot be expressed as a hop.
func Seal(entry *unstructured.Unstructured, gw egress.Gateway, mesh *egress.Mesh) (*unstructured.Unstructured, error) {
	out, err := Intent(entry, mesh)
	if err != nil {
		return nil, err
	}
	parsed, err := egress.ParseServiceEntry(out)
	if err != nil {
		return nil, Refusals{{Code: "undecodable", Field: "spec", Message: err.Error(), Fix: "write the spec as Istio's API has it"}}
	}
	if !parsed.External() {
		return out, nil
	}
	if refusals := Check(parsed, gw, mesh); len(refusals) > 0 {
		return nil, refusals
	}
	spec, _ := out.Object["spec"].(map[string]any)
	intent := entryIntent{Gateway: gw.Service}
	if resolution, ok := spec["resolution"].(string); ok {
		intent.Resolution = &resolution
	}
	intent.Endpoints, _ = spec["endpoints"].([]any)
	annotation, err := json.Marshal(intent)
	if err != nil {
		return nil, fmt.Errorf("encode intent: %w", err)
	}
	if err := annotate(out, string(annotation)); err != nil {
		return nil, Refusals{{"too-large", "spec.endpoints", err.Error(), "give fewer endpoints, or spread them over several entries"}}
	}
	spec["resolution"] = sealedResolution(intent.resolution())
	spec["endpoints"] = []any{map[string]any{"address": gw.Service, "ports": gatewayPorts(parsed.Ports, gw)}}
	return out, nil
}

func gatewayPorts(ports []egress.Port, gw egress.Gateway) map[string]any {
	out := make(map[string]any, len(ports))
	for _, port := range ports {
		out[port.Name] = int64(gw.Port(egress.FamilyOf(port.Protocol)))
	}
	return out
}

// annotate puts the intent into the object's annotations. The error says that they would be larger than the API server
// takes.
func annotate(object *unstructured.Unstructured, intent string) error {
	annotations := object.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[IntentAnnotation] = intent
	if err := apivalidation.ValidateAnnotationsSize(annotations); err != nil {
		return fmt.Errorf("the author's fields do not fit into an annotation: %w", err)
	}
	object.SetAnnotations(annotations)
	return nil
}
