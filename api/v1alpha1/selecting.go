package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ConditionSelectsNothing is true while the policy selects no governed namespace, and so judges nothing.
const ConditionSelectsNothing = "SelectsNothing"

// Selects says in the status whether the policy selects a governed namespace; it says so of one that always did by nothing.
func (p *EgressPolicy) Selects(some bool) {
	condition := metav1.Condition{
		Type: ConditionSelectsNothing, Status: metav1.ConditionTrue, Reason: "NoNamespace", ObservedGeneration: p.Generation,
		Message: "spec.match selects no governed namespace: the policy judges nothing",
	}
	if some {
		if meta.FindStatusCondition(p.Status.Conditions, condition.Type) == nil {
			return
		}
		condition.Status, condition.Reason, condition.Message = metav1.ConditionFalse, "Selects", "spec.match selects some governed namespace"
	}
	meta.SetStatusCondition(&p.Status.Conditions, condition)
}
