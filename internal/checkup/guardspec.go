package checkup

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/egress-governor/egress-governor/internal/emergency"
)

// otherwise says where a guard may catch less than the chart's, which is named as the release is; empty where it nowhere does. What it has
// beside that only catches more.
func otherwise(guard, want admissionv1.ValidatingAdmissionPolicySpec) string {
	if guard.ParamKind != nil && want.ParamKind == nil {
		return "takes parameters, which the chart does not write"
	}
	if said := otherMatch(guard.MatchConstraints, want.MatchConstraints); said != "" {
		return said
	}
	for _, condition := range guard.MatchConditions {
		if condition.Name == emergency.Condition {
			continue
		}
		of := func(each admissionv1.MatchCondition) bool {
			return each.Name == condition.Name && same(each.Expression, condition.Expression)
		}
		if !slices.ContainsFunc(want.MatchConditions, of) {
			return fmt.Sprintf("has a match condition %q that the chart does not write", condition.Name)
		}
	}
	for _, variable := range want.Variables {
		of := func(each admissionv1.Variable) bool {
			return each.Name == variable.Name && (same(each.Expression, variable.Expression) || wider[each.Name] == each.Expression)
		}
		if !slices.ContainsFunc(guard.Variables, of) {
			return fmt.Sprintf("has not the variable %q that the chart writes", variable.Name)
		}
	}
	for i, validation := range want.Validations {
		of := func(each admissionv1.Validation) bool { return same(each.Expression, validation.Expression) }
		if !slices.ContainsFunc(guard.Validations, of) {
			return fmt.Sprintf("has not the %d. validation that the chart writes", i+1)
		}
	}
	return ""
}

// wider are variables by what values have of them so that guards look at more (guards.pods.namespaces: All).
var wider = map[string]string{"inMesh": "true"}

// byValues is what values decide of an expression besides the configuration: whom guards do not apply to, which ranges are the cluster's,
// which images are Istio's, what pods may set in proxy.istio.io/config and in variables of istio-proxy, and what label switches injection.
var byValues = []struct {
	text *regexp.Regexp
	as   string
}{
	{regexp.MustCompile(`\s+`), " "},
	{regexp.MustCompile(`(username|group|namespace|server|domain|\.orValue\("default"\)) in \[(?:"(?:[^"\\]|\\.)*",?)*\]`), "$1 in values"},
	{regexp.MustCompile(`\[(?:"(?:[^"\\]|\\.)*",?)*\]\.exists\(known,`), "values.exists(known,"},
	{regexp.MustCompile(`\[(?:cidr\("[^"]*"\)(?:, )?)*\]`), "values"},
	{regexp.MustCompile(`false(?: \|\| variables\.ranges\[\d+\]\.containsIP\([\w.]+\))*`), "values"},
	{regexp.MustCompile(` && \[(?:"(?:[^"\\]|\\.)*",?)*\]\.exists\(prefix, container\.\?image\.orValue\((?:""|'')\)\.startsWith\(prefix\)\)`), ""},
	{regexp.MustCompile(`(?:\|[A-Za-z][A-Za-z0-9_]*)*\)(\["\\x27\]\?\[ \\t\]\*:\|)`), ")$1"},
	{regexp.MustCompile(`container\.\?image\.orValue\(""\) == "auto" && `), ""},
	{regexp.MustCompile(`!\("istio-injection" in variables\.now\)`), "key in variables.before"},
}

// same says whether two expressions are those of one chart, with whatever values.
func same(a, b string) bool { return general(a) == general(b) }

func general(expression string) string {
	out := strings.TrimSpace(expression)
	for _, each := range byValues {
		out = each.text.ReplaceAllString(out, each.as)
	}
	return out
}

// otherMatch says where something matches otherwise than the chart has it.
func otherMatch(of, want *admissionv1.MatchResources) string {
	got, chart := matchOf(of), matchOf(want)
	switch {
	case *got.MatchPolicy != *chart.MatchPolicy:
		return "has matchPolicy " + string(*got.MatchPolicy)
	case len(got.ExcludeResourceRules) > 0 && !equality.Semantic.DeepEqual(got.ExcludeResourceRules, chart.ExcludeResourceRules):
		return "has excludeResourceRules, which the chart does not write"
	case !equality.Semantic.DeepEqual(got.NamespaceSelector, chart.NamespaceSelector):
		return "has another namespaceSelector than the chart writes"
	case !equality.Semantic.DeepEqual(got.ObjectSelector, chart.ObjectSelector):
		return "has another objectSelector than the chart writes"
	}
	for _, rule := range chart.ResourceRules {
		whole := func(each admissionv1.NamedRuleWithOperations) bool {
			return len(each.ResourceNames) == 0 && covers(each.RuleWithOperations, rule.RuleWithOperations)
		}
		if !slices.ContainsFunc(got.ResourceRules, whole) {
			return "does not look at all " + some(rule.Resources) + " that the chart has it look at"
		}
	}
	return ""
}

// matchOf returns what is matched with what the API server takes for left out, and selectors in one order.
func matchOf(of *admissionv1.MatchResources) admissionv1.MatchResources {
	out := admissionv1.MatchResources{}
	if of != nil {
		out = *of.DeepCopy()
	}
	equivalent := admissionv1.Equivalent
	out.MatchPolicy = cmp.Or(out.MatchPolicy, &equivalent)
	for _, selector := range []**metav1.LabelSelector{&out.NamespaceSelector, &out.ObjectSelector} {
		*selector = ordered(*selector)
	}
	return out
}

// ordered returns a selector in one order, one that selects all for none.
func ordered(of *metav1.LabelSelector) *metav1.LabelSelector {
	if of == nil {
		return &metav1.LabelSelector{}
	}
	out := of.DeepCopy()
	for i := range out.MatchExpressions {
		slices.Sort(out.MatchExpressions[i].Values)
	}
	slices.SortFunc(out.MatchExpressions, func(a, b metav1.LabelSelectorRequirement) int {
		return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Operator, b.Operator), slices.Compare(a.Values, b.Values))
	})
	return out
}

// covers says whether a rule has all that another has.
func covers(rule, all admissionv1.RuleWithOperations) bool {
	scoped := rule.Scope == nil || *rule.Scope == admissionv1.AllScopes || all.Scope != nil && *rule.Scope == *all.Scope
	return scoped && hasAll(rule.Operations, all.Operations...) && hasAll(rule.APIGroups, all.APIGroups...) &&
		hasAll(rule.APIVersions, all.APIVersions...) && hasAll(rule.Resources, all.Resources...)
}

// hasAll says whether a list of a rule has all of some words. The star of resources stands for none of their subresources.
func hasAll[T ~string](list []T, words ...T) bool {
	missing := func(word T) bool {
		whole := !strings.Contains(string(word), "/") && slices.Contains(list, "*")
		return !whole && !slices.Contains(list, "*/*") && !slices.Contains(list, word)
	}
	return !slices.ContainsFunc(words, missing)
}
