// Package condition keeps conditions in the status of objects that are read as they are stored.
package condition

import (
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Condition is one of status.conditions, without its time.
type Condition struct{ Type, Status, Reason, Message string }

// Set puts the condition among the others and says whether anything changed. The transition time moves only with the
// status.
func Set(object *unstructured.Unstructured, want Condition, now time.Time) bool {
	conditions, _, _ := unstructured.NestedSlice(object.Object, "status", "conditions")
	next := map[string]any{
		"type": want.Type, "status": want.Status, "reason": want.Reason, "message": want.Message,
		"lastTransitionTime": now.UTC().Format(time.RFC3339),
	}
	at := len(conditions)
	for i, item := range conditions {
		last, _ := item.(map[string]any)
		if last["type"] != want.Type {
			continue
		}
		at = i
		if last["status"] == want.Status {
			if last["reason"] == want.Reason && last["message"] == want.Message {
				return false
			}
			next["lastTransitionTime"] = last["lastTransitionTime"]
		}
	}
	if at == len(conditions) {
		conditions = append(conditions, next)
	} else {
		conditions[at] = next
	}
	return unstructured.SetNestedSlice(object.Object, conditions, "status", "conditions") == nil
}
