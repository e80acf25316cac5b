package registry

import "k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

// Told is what the author of a ServiceEntry reads of its exit, by the condition ConditionExitReady.
type Told struct {
	Status, Reason, Message string
	// Since is the time of the last transition, as it is written.
	Since string
}

// Suspended says that the exit is closed, since a policy denies the entry.
func (t *Told) Suspended() bool {
	return t != nil && t.Status == "False" && t.Reason == ReasonSuspended
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
		return &Told{Status: text("status"), Reason: text("reason"), Message: text("message"), Since: text("lastTransitionTime")}
	}
	return nil
}
