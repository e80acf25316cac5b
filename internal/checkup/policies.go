package checkup

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/policy"
)

func lookAtPolicies(v *view) {
	var lenient []string
	governed, names := v.governed(), v.names()
	for _, of := range all[v1alpha1.EgressPolicy](v, policies) {
		object := titleOf("EgressPolicy", "", of.Name)
		ready := meta.FindStatusCondition(of.Status.Conditions, v1alpha1.ConditionReady)
		switch {
		case ready == nil || of.Status.ObservedGeneration < of.Generation:
			v.find(Finding{Code: "policy-unseen", Severity: Error, Object: object, Message: "the webhook has not said whether the policy is in force", Why: "another may be in force than stands there", Fix: "see in the webhook's log whether one of its replicas leads"})
		case ready.Status != "True":
			v.find(Finding{
				Code: "policy-not-ready", Severity: Error, Object: object, Message: fmt.Sprintf("the policy is not in force: %s: %s", ready.Reason, firstLine(ready.Message)),
				Why: "whatever it would judge is refused, or passes where it does not deny", Fix: "mend it: egressctl review -p says what is wrong with it",
			})
		}
		if fails := of.Failing(); fails != nil {
			v.find(Finding{
				Code: "policy-fails", Severity: Error, Object: object, Message: "the policy cannot be evaluated: " + firstLine(fails.Message),
				Why: "what it selects is refused with HTTP 500 where it denies, and passes unjudged where it does not", Fix: "mend its Rego (egressctl explain says which rule, egressctl test tries it), or set enforcement to Warn meanwhile",
			})
		}
		if held := meta.FindStatusCondition(of.Status.Conditions, v1alpha1.ConditionSuspendHeld); held != nil && held.Status == "True" {
			v.find(Finding{
				Code: "suspension-held", Severity: Warning, Object: object, Message: "the policy would suspend more exits at once than suspend.maxShare lets it: " + firstLine(held.Message),
				Why: "entries that violate it keep their exits", Fix: "correct the policy, or confirm it by the annotation that its condition SuspendHeld names",
			})
		}
		if ready != nil && ready.Status == "True" {
			if _, beware, is := strings.Cut(ready.Message, v1alpha1.Beware); is {
				v.find(Finding{
					Code: "policy-unmeant", Severity: Warning, Object: object, Message: "the policy has something that its author may not have meant: " + firstLine(beware),
					Why: "it may judge less than it seems to", Fix: "mend it, or leave it where it is meant: the same is told at kubectl apply",
				})
			}
		}
		if nobody := policy.Nobody(of.Spec.Match, names); len(nobody) > 0 && len(names) > 0 {
			v.find(Finding{
				Code: "policy-names-nobody", Severity: Warning, Object: object, Message: "no namespace has the name of " + some(nobody),
				Why: "whom it was to select, or to leave out, it does not", Fix: "correct the name, or leave it where the namespace is still to come",
			})
		}
		if governed.Len() > 0 && !policy.Selects(of.Spec.Match, governed) {
			v.find(Finding{
				Code: "policy-selects-nothing", Severity: Warning, Object: object, Message: "the policy selects no governed namespace",
				Why: "it judges nothing, and looks in its status as if it were obeyed", Fix: "see in spec.match how namespaces, namespaceSelector and exclude are written (kubectl get namespaces --show-labels)",
			})
		}
		if of.Spec.Enforcement == v1alpha1.Warn || of.Spec.Enforcement == v1alpha1.Audit {
			lenient = append(lenient, fmt.Sprintf("%s (%s)", of.Name, of.Spec.Enforcement))
		}
	}
	if len(lenient) > 0 {
		v.find(Finding{
			Code: "policy-does-not-deny", Severity: Warning, Message: fmt.Sprintf("%s not deny: %s", does(len(lenient)), some(lenient)),
			Why: "what violates them is stored all the same", Fix: "see what they would deny (kubectl get egp), and set enforcement to Deny; of the baseline, by baseline.enforcement",
		})
	}
	slices.SortStableFunc(v.findings, func(a, b Finding) int { return strings.Compare(a.Object, b.Object) })
}

// governed are the namespaces that are, none where the configuration is not known.
func (v *view) governed() *egress.Namespaces {
	out := map[string]map[string]string{}
	for _, namespace := range v.Objects[namespaces] {
		if v.Mesh != nil && v.Mesh.Governed.Matches(labels.Set(namespace.GetLabels())) {
			out[namespace.GetName()] = namespace.GetLabels()
		}
	}
	return egress.NewNamespaces(out)
}

// names are those of all namespaces.
func (v *view) names() (out []string) {
	for _, namespace := range v.Objects[namespaces] {
		out = append(out, namespace.GetName())
	}
	return out
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

func does(n int) string {
	if n == 1 {
		return "1 EgressPolicy does"
	}
	return fmt.Sprintf("%d EgressPolicies do", n)
}
