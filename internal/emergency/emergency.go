// Package emergency takes the webhook and the guards out of the way of every request, and puts them back. It takes stored objects
// and changes them; who writes them needs nothing that has to run.
package emergency

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const (
	// Condition is the match condition by which no request comes to a webhook or a guard. The API server goes by it itself, so that
	// it holds while the webhook is down or does not answer; and it stands beside the conditions of the chart, in a list whose items
	// have names, so that nobody who writes those takes it away.
	Condition = "egress-governor-stopped"
	// Annotation says of an object since when it is stopped, by whom and why.
	Annotation = "egress-governor.io/stopped"
)

// Kinds are those that are stopped, in the order in which they are: what may not answer comes first.
func Kinds() []string {
	return []string{"MutatingWebhookConfiguration", "ValidatingWebhookConfiguration", "ValidatingAdmissionPolicy"}
}

// Note is what an object says of its stop.
type Note struct {
	// Since is when and by whom, Reason why; empty for one that nobody gave.
	Since, Reason string
}

// String is the note as the annotation has it.
func (n Note) String() string {
	if n.Reason == "" {
		return n.Since
	}
	return n.Since + reasonAfter + n.Reason
}

const (
	// reasonAfter stands before a reason.
	reasonAfter = ": "
	// reasonBeside stands between two.
	reasonBeside = "; "
)

// Stop takes an object out of the way, and says of it why; to one that is stopped already it adds the reason. It returns whether the object
// is another than before.
func Stop(object *unstructured.Unstructured, note Note) (changed bool) {
	each(object, func(conditions []any) []any {
		if slices.ContainsFunc(conditions, isStop) {
			return conditions
		}
		changed = true
		return append(conditions, map[string]any{"name": Condition, "expression": "false"})
	})
	annotations := object.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	said := annotations[Annotation]
	switch _, reasons, given := strings.Cut(said, reasonAfter); {
	case changed || said == "":
		said = note.String()
	case note.Reason == "" || slices.Contains(strings.Split(reasons, reasonBeside), note.Reason):
		return false
	case given:
		said += reasonBeside + note.Reason
	default:
		said += reasonAfter + note.Reason
	}
	annotations[Annotation] = said
	object.SetAnnotations(annotations)
	return true
}

// Start puts an object back as it was. It returns whether it is another than before.
func Start(object *unstructured.Unstructured) (changed bool) {
	each(object, func(conditions []any) []any {
		out := slices.DeleteFunc(slices.Clone(conditions), isStop)
		changed = changed || len(out) != len(conditions)
		return out
	})
	annotations := object.GetAnnotations()
	if _, noted := annotations[Annotation]; noted {
		delete(annotations, Annotation)
		object.SetAnnotations(annotations)
		changed = true
	}
	return changed
}

// State says how many of an object's webhooks, or guards, are stopped, and of how many.
func State(object *unstructured.Unstructured) (stopped, of int) {
	each(object, func(conditions []any) []any {
		of++
		if slices.ContainsFunc(conditions, isStop) {
			stopped++
		}
		return conditions
	})
	return stopped, of
}

// each hands the match conditions of each webhook of an object, or of a guard, to a function and keeps what it returns.
func each(object *unstructured.Unstructured, change func(conditions []any) []any) {
	if object.GetKind() == "ValidatingAdmissionPolicy" {
		if spec, is := object.Object["spec"].(map[string]any); is {
			keep(spec, change)
		}
		return
	}
	webhooks, _ := object.Object["webhooks"].([]any)
	for _, item := range webhooks {
		if webhook, is := item.(map[string]any); is {
			keep(webhook, change)
		}
	}
}

func keep(in map[string]any, change func(conditions []any) []any) {
	before, _ := in["matchConditions"].([]any)
	switch after := change(before); {
	case len(after) > 0:
		in["matchConditions"] = after
	default:
		delete(in, "matchConditions")
	}
}

func isStop(item any) bool {
	condition, _ := item.(map[string]any)
	return condition["name"] == Condition
}
