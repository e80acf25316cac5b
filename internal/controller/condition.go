package controller

import (
	"slices"
	"time"

	"github.com/egress-governor/egress-governor/internal/registry"
)

// condition is one of status.conditions, without its time and the generation of which it is told.
type condition struct{ Type, Status, Reason, Message string }

// without returns the conditions without those of a type. The given conditions are not touched.
func without(conditions []any, of string) []any {
	return slices.DeleteFunc(slices.Clone(conditions), isOf(of))
}

func isOf(name string) func(item any) bool {
	return func(item any) bool {
		condition, _ := item.(map[string]any)
		return condition["type"] == name
	}
}

// among returns the conditions with this one in its place, told of a generation, and whether anything changed. The transition time moves only
// with the status. The given conditions are not touched.
func (c condition) among(conditions []any, generation int64, now time.Time) ([]any, bool) {
	next := map[string]any{
		"type": c.Type, "status": c.Status, "reason": c.Reason, "message": c.Message,
		"lastTransitionTime": now.UTC().Format(time.RFC3339), "observedGeneration": generation,
	}
	at := slices.IndexFunc(conditions, isOf(c.Type))
	out := slices.Clone(conditions)
	if at < 0 {
		return append(out, next), true
	}
	last, _ := conditions[at].(map[string]any)
	if last["status"] == c.Status {
		if last["reason"] == c.Reason && last["message"] == c.Message && registry.ObservedGeneration(last) == generation {
			return out, false
		}
		next["lastTransitionTime"] = last["lastTransitionTime"]
	}
	out[at] = next
	return out, true
}
