package controlplane

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// ConditionOf returns a field of the condition of a type in an object's status, empty where it has none of that type.
func ConditionOf(object *unstructured.Unstructured, kind, field string) string {
	conditions, _, _ := unstructured.NestedSlice(object.Object, "status", "conditions")
	for _, item := range conditions {
		if condition, _ := item.(map[string]any); condition["type"] == kind {
			return fmt.Sprint(condition[field])
		}
	}
	return ""
}
