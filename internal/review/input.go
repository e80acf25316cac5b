package review

import (
	"maps"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// inputVersion names the contract of the policy input (docs/policies.md).
const inputVersion = "input.egress-governor.io/v1alpha1"

// document returns the policy input without the client and the parameters, which are each policy's own.
func (s *subject) document(facts egress.Facts) map[string]any {
	name := s.Name
	if name == "" {
		name = s.Object.GetName()
	}
	groups := make([]any, len(s.User.Groups))
	for i, group := range s.User.Groups {
		groups[i] = group
	}
	return map[string]any{
		"apiVersion": inputVersion,
		"operation":  string(s.Operation),
		"kind":       s.Object.GetKind(),
		"name":       name,
		"namespace": map[string]any{
			"name": s.Namespace.Name, "labels": values(s.Namespace.Labels), "annotations": values(s.Namespace.Annotations),
		},
		"user":      map[string]any{"name": s.User.Name, "groups": groups},
		"dryRun":    s.DryRun,
		"time":      s.Time.UTC().Format(time.RFC3339),
		"object":    content(s.intent),
		"oldObject": content(s.oldIntent),
		"egress":    facts.Document(s.Mesh),
	}
}

// content returns an object without what the API server keeps for itself: all else is the object's own, and not to be changed.
func content(object *unstructured.Unstructured) any {
	if object == nil {
		return nil
	}
	metadata, is := object.Object["metadata"].(map[string]any)
	if _, managed := metadata["managedFields"]; !is || !managed {
		return object.Object
	}
	out := maps.Clone(object.Object)
	metadata = maps.Clone(metadata)
	delete(metadata, "managedFields")
	out["metadata"] = metadata
	return out
}

func values(in map[string]string) map[string]any {
	out := make(map[string]any, len(in))
	for key, value := range in {
		out[key] = value
	}
	return out
}
