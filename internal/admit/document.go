package admit

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/egress-governor/egress-governor/internal/hop"
)

// inputVersion names the contract of the policy input (docs/policies.md).
const inputVersion = "input.egress-governor.io/v1alpha1"

// document returns the policy input without the parameters, which are each policy's own.
func (g *Governor) document(req admission.Request, subject *subject, finding *finding) (map[string]any, error) {
	object, err := g.authored(subject.object)
	if err != nil {
		return nil, fmt.Errorf("object: %w", err)
	}
	old, err := g.authored(subject.old)
	if err != nil {
		return nil, fmt.Errorf("oldObject: %w", err)
	}
	name := req.Name
	if name == "" {
		name = subject.object.GetName()
	}
	groups := make([]any, len(req.UserInfo.Groups))
	for i, group := range req.UserInfo.Groups {
		groups[i] = group
	}
	return map[string]any{
		"apiVersion": inputVersion,
		"operation":  string(req.Operation),
		"kind":       req.Kind.Kind,
		"name":       name,
		"namespace": map[string]any{
			"name": req.Namespace, "labels": values(subject.namespace.Labels), "annotations": values(subject.namespace.Annotations),
		},
		"user":      map[string]any{"name": req.UserInfo.Username, "groups": groups},
		"dryRun":    req.DryRun != nil && *req.DryRun,
		"object":    object,
		"oldObject": old,
		"egress":    finding.facts.Document(g.Mesh, finding.gateway),
	}, nil
}

// authored returns the content of an object as its author wrote it. Where the intent does not decode the object is
// refused anyway, and policies see it as it is. What the API server keeps for itself is left out.
func (g *Governor) authored(object *unstructured.Unstructured) (any, error) {
	if object == nil {
		return nil, nil
	}
	intent, err := hop.Intent(object, g.Mesh)
	if err != nil {
		intent = object.DeepCopy()
	}
	unstructured.RemoveNestedField(intent.Object, "metadata", "managedFields")
	return intent.Object, nil
}

func values(in map[string]string) map[string]any {
	out := make(map[string]any, len(in))
	for key, value := range in {
		out[key] = value
	}
	return out
}
