package controller

import (
	"slices"
	"time"
)

// condition is one of status.conditions, without its time.
type condition struct{ Type, Status, Reason, Message string }

// told says whether conditions have one of a type.
func told(conditions []any, of string) bool {
	return slices.ContainsFunc(conditions, func(item any) bool {
		last, _ := item.(map[string]any)
		return last["type"] == of
	})
}

// among returns the conditions with this one in its place, and whether anything changed. The transition time moves only
// with the status. The given conditions are not touched.
func (c condition) among(conditions []any, now time.Time) ([]any, bool) {
	next := map[string]any{
		"type": c.Type, "status": c.Status, "reason": c.Reason, "message": c.Message,
		"lastTransitionTime": now.UTC().Format(time.RFC3339),
	}
	at := slices.IndexFunc(conditions, func(item any) bool {
		last, _ := item.(map[string]any)
		return last["type"] == c.Type
	})
	out := slices.Clone(conditions)
	if at < 0 {
		return append(out, next), true
	}
	last, _ := conditions[at].(map[string]any)
	if last["status"] == c.Status {
		if last["reason"] == c.Reason && last["message"] == c.Message {
			return out, false
		}
		next["lastTransitionTime"] = last["lastTransitionTime"]
	}
	out[at] = next
	return out, true
}
