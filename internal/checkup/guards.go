package checkup

import (
	"fmt"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/version"
)

const (
	// chartRelease is the release by whose name Snapshot.Guards are called.
	chartRelease = "egress-governor"
	// chartLabel is by which version of the chart something was written.
	chartLabel = "helm.sh/chart"
)

func lookAtGuards(v *view) {
	if is, err := version.ParseGeneric(v.Version); err == nil && is.Major() > 0 && is.LessThan(oldestWithGuards) {
		// As the check of versions says.
		return
	}
	stored := map[string]admissionv1.ValidatingAdmissionPolicy{}
	for _, guard := range all[admissionv1.ValidatingAdmissionPolicy](v, guards) {
		stored[guard.Name] = guard
	}
	bound := map[string][]admissionv1.ValidatingAdmissionPolicyBinding{}
	for _, binding := range all[admissionv1.ValidatingAdmissionPolicyBinding](v, bindings) {
		// That for observed namespaces has nobody refused.
		if binding.Name != binding.Spec.PolicyName+"-audit" {
			bound[binding.Spec.PolicyName] = append(bound[binding.Spec.PolicyName], binding)
		}
	}
	chart := map[string]admissionv1.ValidatingAdmissionPolicyBinding{}
	for _, object := range v.Guards {
		if binding, err := as[admissionv1.ValidatingAdmissionPolicyBinding](object); err == nil && object.GetKind() == "ValidatingAdmissionPolicyBinding" && binding.Name == binding.Spec.PolicyName {
			chart[binding.Spec.PolicyName] = binding
		}
	}
	for _, object := range v.Guards {
		if object.GetKind() != "ValidatingAdmissionPolicy" {
			continue
		}
		want, err := as[admissionv1.ValidatingAdmissionPolicy](object)
		if err != nil {
			v.cannot(fmt.Sprintf("%s as the chart has it: %s", title(object), err))
			continue
		}
		name := v.Release.Name + strings.TrimPrefix(want.Name, chartRelease)
		guard, is := stored[name]
		if !is {
			v.find(Finding{
				Code: "guard-missing", Severity: Error, Object: titleOf("ValidatingAdmissionPolicy", "", name), Message: "the guard does not exist",
				Why: "what it would catch, nobody sees", Fix: "helm upgrade the release, or apply its chart again; whoever has switched it off by guards.*.enforcement: Off may skip this",
			})
			continue
		}
		v.lookAtGuard(guard, want)
		v.lookAtBindings(name, bound[name], chart[want.Name])
	}
}

// lookAtGuard says what of a guard is another than the chart's.
func (v *view) lookAtGuard(guard, want admissionv1.ValidatingAdmissionPolicy) {
	wrong := func(code, message string) {
		v.find(Finding{
			Code: code, Severity: Error, Object: titleOf("ValidatingAdmissionPolicy", "", guard.Name), Message: message,
			Why: "some of what it would catch, nobody sees", Fix: "helm upgrade the release, or apply its chart again",
		})
	}
	if policy := guard.Spec.FailurePolicy; policy != nil && *policy != admissionv1.Fail {
		wrong("guard-ignores-failure", "the guard has failurePolicy "+string(*policy))
	}
	if chart, stored := want.Labels[chartLabel], guard.Labels[chartLabel]; chart != "" && stored != "" && chart != stored {
		v.cannot(fmt.Sprintf("whether guards of %s catch all that they are to: this is egressctl of %s", stored, chart))
		return
	}
	if said := otherwise(guard.Spec, v.asReleased(want.Spec)); said != "" {
		wrong("guard-narrowed", "the guard "+said)
	}
}

// asReleased returns a guard of the chart as it is for the release, whose service account has its name.
func (v *view) asReleased(of admissionv1.ValidatingAdmissionPolicySpec) admissionv1.ValidatingAdmissionPolicySpec {
	out := *of.DeepCopy()
	for i := range out.MatchConditions {
		condition := &out.MatchConditions[i]
		condition.Expression = strings.ReplaceAll(condition.Expression, ":"+chartRelease+`"`, ":"+v.Release.Name+`"`)
	}
	return out
}

// lookAtBindings says where a guard does less than the chart has it do.
func (v *view) lookAtBindings(name string, found []admissionv1.ValidatingAdmissionPolicyBinding, want admissionv1.ValidatingAdmissionPolicyBinding) {
	object := titleOf("ValidatingAdmissionPolicyBinding", "", name)
	whole := slices.DeleteFunc(slices.Clone(found), func(each admissionv1.ValidatingAdmissionPolicyBinding) bool {
		return each.Spec.ParamRef != nil || narrows(each.Spec.MatchResources, want.Spec.MatchResources)
	})
	switch {
	case len(found) == 0:
		v.find(Finding{Code: "guard-unbound", Severity: Error, Object: object, Message: "the guard is not bound", Why: "the API server does not go by it", Fix: "helm upgrade the release, or apply its chart again"})
	case len(whole) == 0:
		v.find(Finding{Code: "guard-narrowed", Severity: Error, Object: object, Message: "its binding has other matchResources than the chart writes", Why: "some of what it would catch, nobody sees", Fix: "helm upgrade the release, or apply its chart again"})
	case slices.Contains(want.Spec.ValidationActions, admissionv1.Deny) && !slices.ContainsFunc(whole, func(each admissionv1.ValidatingAdmissionPolicyBinding) bool {
		return slices.Contains(each.Spec.ValidationActions, admissionv1.Deny)
	}):
		v.find(Finding{
			Code: "guard-does-not-deny", Severity: Warning, Object: object, Message: fmt.Sprintf("the guard does not deny: %v", whole[0].Spec.ValidationActions),
			Why: "what it catches is stored all the same", Fix: "once nothing is caught that must go on, set its enforcement to Deny in the values",
		})
	}
}

// narrows says whether a binding may be for less than the chart's: each is for all where it has nothing.
func narrows(of, chart *admissionv1.MatchResources) bool {
	if of == nil {
		return false
	}
	if objects := of.ObjectSelector; objects != nil && len(objects.MatchLabels)+len(objects.MatchExpressions) > 0 || len(of.ResourceRules)+len(of.ExcludeResourceRules) > 0 {
		return true
	}
	got, want := matchOf(of).NamespaceSelector, matchOf(chart).NamespaceSelector
	return len(got.MatchLabels)+len(got.MatchExpressions) > 0 && !equality.Semantic.DeepEqual(got, want)
}
