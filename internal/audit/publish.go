package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/review"
)

// publish tells what is known: in metrics, in the status of EgressPolicies, by Events and in reports.
// What cannot be written is told again later, and nothing judged again for it. Until everything was judged once that may be
// read, what the last leader told stands.
func (a *Auditor) publish(ctx context.Context) {
	if a.ended.IsZero() {
		return
	}
	a.count()
	a.remember()
	a.notify()
	err := errors.Join(a.writeStatus(ctx), a.report(ctx))
	if a.late = err != nil; a.late && ctx.Err() == nil {
		ctrl.LoggerFrom(ctx).Error(err, "What the audit found is not told everywhere")
	}
}

// failures are those of a policy over what is stored: how many, and the first of their messages.
type failures struct {
	count int64
	why   string
}

// violationsOf counts what policies said of all that is stored, and what they could not say, which is no violation.
func (a *Auditor) violationsOf() (violations map[string]int64, failed map[string]failures) {
	violations, failed = map[string]int64{}, map[string]failures{}
	for _, of := range a.found {
		for _, finding := range of.findings {
			if finding.Unevaluated() {
				last := failed[finding.Policy]
				if last.count++; last.why == "" || finding.Message < last.why {
					last.why = finding.Message
				}
				failed[finding.Policy] = last
			} else {
				violations[finding.Policy]++
			}
		}
	}
	return violations, failed
}

func (a *Auditor) writeStatus(ctx context.Context) error {
	var list v1alpha1.EgressPolicyList
	if err := a.Cached.List(ctx, &list); err != nil {
		return err
	}
	violations, failed := a.violationsOf()
	var errs []error
	for i := range list.Items {
		policy := &list.Items[i]
		if _, judged := a.policies[policy.Name]; !judged {
			continue
		}
		before := policy.DeepCopy()
		count := violations[policy.Name]
		policy.Status.Violations = &count
		policy.Selects(a.Selects(policy.Spec.Match))
		held, fails := a.setHeld(policy), setFailing(policy, failed[policy.Name])
		if equality.Semantic.DeepEqual(before.Status, policy.Status) {
			continue
		}
		err := a.Status.Status().Patch(ctx, policy, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
		if err == nil && held != "" {
			ctrl.LoggerFrom(ctx).Info("Suspension is held", "policy", policy.Name, "exits", a.held[policy.Name], "message", held)
			a.Recorder.Eventf(policy, nil, corev1.EventTypeWarning, v1alpha1.ConditionSuspendHeld, "Audit", "%s", v1alpha1.Bounded(held, inEvent))
		}
		if err == nil && fails != "" {
			a.Recorder.Eventf(policy, nil, corev1.EventTypeWarning, v1alpha1.ConditionFailing, "Audit", "%s", v1alpha1.Bounded(fails, inEvent))
		}
		if !apierrors.IsNotFound(err) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// setFailing says whether a policy fails for what is stored, and returns what is to be told of that: nothing where it was so before.
func setFailing(policy *v1alpha1.EgressPolicy, of failures) string {
	if of.count == 0 {
		policy.Answers(v1alpha1.ReasonFailsForStored)
		return ""
	}
	message := fmt.Sprintf("%d stored objects cannot be judged, one for: %s", of.count, v1alpha1.Bounded(of.why, inEvent/2))
	if policy.Fails(v1alpha1.ReasonFailsForStored, message) {
		return message
	}
	return ""
}

// setHeld sets the condition of a policy whose suspensions are held, and returns what is to be told of it: nothing where
// that was so before.
func (a *Auditor) setHeld(policy *v1alpha1.EgressPolicy) string {
	exits, held := a.held[policy.Name]
	condition := metav1.Condition{Type: v1alpha1.ConditionSuspendHeld, ObservedGeneration: policy.Generation}
	switch {
	case held:
		condition.Status, condition.Reason = metav1.ConditionTrue, "TooMany"
		condition.Message = fmt.Sprintf("this policy would suspend %d exits at once, of %d, and suspends none of them; correct it, or let it through by the annotation %s: %q",
			exits, a.Entries.Sealed(), v1alpha1.AnnotationConfirmSuspend, confirmation(policy, a.Policies.ParametersOf))
	case apimeta.FindStatusCondition(policy.Status.Conditions, condition.Type) != nil:
		condition.Status, condition.Reason, condition.Message = metav1.ConditionFalse, "NotHeld", "nothing is held back"
	default:
		return ""
	}
	was := apimeta.IsStatusConditionTrue(policy.Status.Conditions, condition.Type)
	apimeta.SetStatusCondition(&policy.Status.Conditions, condition)
	if held && !was {
		return condition.Message
	}
	return ""
}

// notice is what is told of an object once, until it is gone.
type notice struct {
	uid          types.UID
	policy, code string
}

// telling is when a violation was found first, and whether an Event was written of it.
type telling struct {
	since time.Time
	told  bool
}

// atOnce is how many Events are written at once; more come later.
const atOnce = 200

// remember notes the violations that are new, and forgets those that are gone.
func (a *Auditor) remember() {
	there := map[notice]telling{}
	for _, of := range a.found {
		for _, finding := range of.findings {
			n := notice{of.uid, finding.Policy, finding.Code}
			known, is := a.told[n]
			if !is {
				known.since = a.Now()
			}
			there[n] = known
		}
	}
	a.told = there
}

// notify writes an Event about each violation that none was written of.
func (a *Auditor) notify() {
	left := atOnce
	for key, of := range a.found {
		for _, finding := range of.findings {
			n := notice{of.uid, finding.Policy, finding.Code}
			telling := a.told[n]
			if finding.Unevaluated() { // it is told of the policy, and no fault of the object
				telling.told = true
				a.told[n] = telling
			}
			if telling.told || left == 0 {
				continue
			}
			left--
			about := &corev1.ObjectReference{APIVersion: of.apiVersion, Kind: key.Kind, Namespace: key.Namespace, Name: key.Name, UID: of.uid}
			a.Recorder.Eventf(about, nil, corev1.EventTypeWarning, cmp.Or(finding.Reason(), "Violation"), "Audit", "%s", v1alpha1.Bounded(of.note(finding), inEvent))
			telling.told = true
			a.told[n] = telling
		}
	}
}

// note is what an Event says of a finding.
func (j judged) note(finding review.Finding) string {
	if j.observed {
		return "if its namespace were governed: " + finding.OneLine()
	}
	return finding.OneLine()
}

// untold says whether there are violations that no Event was written of yet.
func (a *Auditor) untold() bool {
	for _, telling := range a.told {
		if !telling.told {
			return true
		}
	}
	return false
}

// inEvent is how long the note of an Event is; the API server takes 1,024 bytes.
const inEvent = 1000
