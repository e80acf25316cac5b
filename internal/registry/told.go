package registry

import (
	"strconv"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Told is what the author of a ServiceEntry reads of its exit, by the condition ConditionExitReady.
type Told struct {
	Status, Reason, Message string
	// Since is the time of the last transition, as it is written.
	Since string
	// Generation is that of the entry of which it is told, 0 where that is not said.
	Generation int64
}

// Suspended says that the exit is closed, since a policy denies the entry.
func (t *Told) Suspended() bool {
	return t != nil && t.Status == "False" && t.Reason == ReasonSuspended
}

// Before says that it is told of an entry as it was before it came to a generation.
func (t *Told) Before(generation int64) bool {
	return t != nil && t.Generation != 0 && t.Generation < generation
}

// ToldOf returns what a stored entry tells, nil where nobody has told anything yet.
func ToldOf(entry *unstructured.Unstructured) *Told {
	conditions, _, _ := unstructured.NestedSlice(entry.Object, "status", "conditions")
	return toldBy(conditions)
}

func toldBy(conditions []any) *Told {
	for _, item := range conditions {
		condition, _ := item.(map[string]any)
		if condition["type"] != ConditionExitReady {
			continue
		}
		text := func(key string) string {
			out, _ := condition[key].(string)
			return out
		}
		return &Told{Status: text("status"), Reason: text("reason"), Message: text("message"), Since: text("lastTransitionTime"), Generation: ObservedGeneration(condition)}
	}
	return nil
}

// ObservedGeneration is the generation of which a condition tells, 0 for none: a number, or the text of one, as Istio's own types are written.
func ObservedGeneration(condition map[string]any) (out int64) {
	switch value := condition["observedGeneration"].(type) {
	case int64:
		return value
	case string:
		out, _ = strconv.ParseInt(value, 10, 64) // 0 for what is none
	}
	return out
}
