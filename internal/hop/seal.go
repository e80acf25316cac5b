package hop

import (
	"encoding/json"
	"fmt"

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
	if err := unstructured.SetNestedField(out.Object, string(annotation), "metadata", "annotations", IntentAnnotation); err != nil {
		return nil, fmt.Errorf("metadata.annotations: %w", err)
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
