package checkup

import (
	"maps"
	"slices"

	admissionv1 "k8s.io/api/admissionregistration/v1"

	"github.com/egress-governor/egress-governor/internal/review"
)

// chartConditions are the match conditions of the chart's webhooks.
var chartConditions = map[string]string{
	"not-finalized": `request.operation != "UPDATE" || !has(object.metadata.deletionTimestamp) || !has(oldObject.metadata.deletionTimestamp) ||
object.?spec != oldObject.?spec || object.metadata.?labels != oldObject.metadata.?labels ||
object.metadata.?annotations != oldObject.metadata.?annotations || object.metadata.?ownerReferences != oldObject.metadata.?ownerReferences`,
	"not-with-its-namespace": `request.operation != "DELETE" || !(request.userInfo.username in ["system:kube-controller-manager", ` +
		`"system:serviceaccount:kube-system:namespace-controller"]) || ` +
		`request.userInfo.username == "system:kube-controller-manager" && request.?name.orValue("") != ""`,
}

// uncovered says which kinds a webhook is to be asked about and is not. The rules of one follow the policies in force.
func (v *view) uncovered(each webhook) string {
	missing := map[string]bool{}
	for _, want := range v.wanted(each.Name) {
		asked := func(rule admissionv1.RuleWithOperations) bool { return covers(rule, want) }
		if each.MatchPolicy == nil || *each.MatchPolicy == admissionv1.Equivalent {
			// It is asked about all versions of a kind by the name of one.
			asked = func(rule admissionv1.RuleWithOperations) bool {
				return slices.ContainsFunc(want.APIVersions, func(version string) bool {
					one := want
					one.APIVersions = []string{version}
					return covers(rule, one)
				})
			}
		}
		if !slices.ContainsFunc(each.Rules, asked) {
			for _, operation := range want.Operations {
				missing[deleted[operation]+want.Resources[0]] = true
			}
		}
	}
	if len(missing) == 0 {
		return ""
	}
	return "is not asked about " + some(slices.Collect(maps.Keys(missing)))
}

// deleted is how an operation is said of a resource where it is not the common one.
var deleted = map[admissionv1.OperationType]string{admissionv1.Delete: "the deletion of "}

// wanted are the rules that a webhook of a name is to have.
func (v *view) wanted(name string) (out []admissionv1.RuleWithOperations) {
	rule := func(scope admissionv1.ScopeType, group string, versions []string, resource string, operations ...admissionv1.OperationType) {
		out = append(out, admissionv1.RuleWithOperations{
			Operations: operations, Rule: admissionv1.Rule{APIGroups: []string{group}, APIVersions: versions, Resources: []string{resource}, Scope: &scope},
		})
	}
	switch name {
	case policyWebhook:
		rule(admissionv1.ClusterScope, policies.Group, []string{"v1alpha1"}, policies.Resource, admissionv1.Create, admissionv1.Update)
	case mutateWebhook, validateWebhook:
		for _, kind := range review.Kinds() {
			of, _ := review.ResourceOf(kind)
			// Sidecars are sent in any case where they are closed.
			asked := of.Asked && (kind != "Sidecar" || v.Mesh == nil || !v.Mesh.Block)
			if asked || name == mutateWebhook && of.Group != entries.Group {
				continue
			}
			rule(admissionv1.NamespacedScope, of.Group, of.Versions, plural(kind), admissionv1.Create, admissionv1.Update)
			if of.Leaves && name == validateWebhook {
				rule(admissionv1.NamespacedScope, of.Group, of.Versions, plural(kind), admissionv1.Delete)
			}
		}
	}
	return out
}
