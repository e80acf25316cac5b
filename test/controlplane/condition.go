package controlplane

import (
	"fmt"
	"strconv"

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

// Met says whether the condition of a type has a status for an object as it is by now, as kubectl wait --for=condition has it.
func Met(object *unstructured.Unstructured, kind, status string) bool {
	generation, _ := strconv.ParseInt(ConditionOf(object, kind, "observedGeneration"), 10, 64) // 0 for none
	return ConditionOf(object, kind, "status") == status && (generation == 0 || generation >= object.GetGeneration())
}
