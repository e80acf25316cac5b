package v1alpha1

import (
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ConditionFailing is true while the policy cannot be evaluated.
const ConditionFailing = "Failing"

// Reasons of ConditionFailing: for which of them it is true, only who says so says that it is no more.
const (
	// ReasonFailsForRequests says that some of the requests that were counted last could not be judged.
	ReasonFailsForRequests = "Requests"
	// ReasonFailsForStored says that some of what is stored cannot be.
	ReasonFailsForStored = "StoredObjects"
	reasonAnswers        = "Answers"
)

// Failing returns the condition by which the policy, as it is by now, is told to fail; nil where it is not.
func (p *EgressPolicy) Failing() *metav1.Condition {
	last := meta.FindStatusCondition(p.Status.Conditions, ConditionFailing)
	if last == nil || last.Status != metav1.ConditionTrue || last.ObservedGeneration != p.Generation {
		return nil
	}
	return last
}

// Fails says in the status that the policy cannot be evaluated, and for what. What is said of stored objects stays before what is said of
// requests. It returns whether that is news.
func (p *EgressPolicy) Fails(reason, message string) (news bool) {
	last := p.Failing()
	if last != nil && last.Reason == ReasonFailsForStored && reason == ReasonFailsForRequests {
		return false
	}
	meta.SetStatusCondition(&p.Status.Conditions, metav1.Condition{
		Type: ConditionFailing, Status: metav1.ConditionTrue, Reason: reason, Message: message, ObservedGeneration: p.Generation,
	})
	return last == nil
}

// Bounded is a text of at most so many bytes and a sign that there was more: what an error says may be of any length.
func Bounded(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// Answers takes back that the policy fails, where that was said for the reason, or of an earlier version of it.
func (p *EgressPolicy) Answers(reason string) {
	if !meta.IsStatusConditionTrue(p.Status.Conditions, ConditionFailing) {
		return
	}
	if last := p.Failing(); last == nil || last.Reason == reason {
		meta.SetStatusCondition(&p.Status.Conditions, metav1.Condition{
			Type: ConditionFailing, Status: metav1.ConditionFalse, Reason: reasonAnswers, Message: "the policy is evaluated", ObservedGeneration: p.Generation,
		})
	}
}
