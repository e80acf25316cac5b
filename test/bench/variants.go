package main

import (
	"fmt"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
)

// label tells the namespaces of the variants apart: by it every webhook and policy knows its own.
const label = "bench"

// variant is a way in which an entry is admitted. Each has a namespace of its own in one control plane, so that requests of all
// take turns.
type variant struct {
	// name is the value of the label, and that of the table's row.
	name string
	// judge is who looks at what is written.
	judge judge
	// policies are how many it goes by, baseline says that those in force by default are besides.
	policies int
	baseline bool
}

type judge string

const (
	nobody judge = "none"
	noop   judge = "pair"
	patch  judge = "patches"
	cel    judge = "cel"
	ours   judge = "ours"
)

// variants are measured beside each other.
var variants = []variant{
	{name: "none", judge: nobody},
	{name: "pair", judge: noop},
	{name: "patches", judge: patch},
	{name: "cel-1", judge: cel, policies: 1},
	{name: "cel-10", judge: cel, policies: 10},
	{name: "cel-100", judge: cel, policies: 100},
	{name: "ours-0", judge: ours},
	{name: "ours-1", judge: ours, policies: 1},
	{name: "ours-10", judge: ours, policies: 10},
	{name: "ours-100", judge: ours, policies: 100},
	{name: "ours-baseline-10", judge: ours, policies: 10, baseline: true},
}

func named(names ...string) (out []variant) {
	for _, name := range names {
		for _, one := range variants {
			if one.name == name {
				out = append(out, one)
			}
		}
	}
	return out
}

func (v variant) namespace() string { return "bench-" + v.name }

// values are the chart's: ours governs its own variants alone, and the baseline one of them.
func values() map[string]any {
	var others []any
	for _, one := range variants {
		if one.judge != ours {
			others = append(others, one.name)
		}
	}
	return map[string]any{
		"config":            map[string]any{"maxHostsPerNamespace": 0},
		"namespaceSelector": map[string]any{"matchExpressions": []any{map[string]any{"key": label, "operator": "NotIn", "values": others}}},
		"baseline":          map[string]any{"namespaceSelector": map[string]any{"matchLabels": map[string]any{label: "ours-baseline-10"}}},
	}
}

// allowed are the hosts that each policy allows, whoever evaluates it: those of the requests are among them.
func allowed() []string {
	out := []string{"*.bench.example.com"}
	for i := range 9 {
		out = append(out, fmt.Sprintf("host-%d.example.org", i))
	}
	return out
}

// objects are what a variant needs in the cluster: its namespace, and its policies.
func (v variant) objects() []client.Object {
	out := []client.Object{&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: v.namespace(), Labels: map[string]string{label: v.name}}}}
	for i := range v.policies {
		name := fmt.Sprintf("%s-%d", v.name, i)
		if v.judge == cel {
			out = append(out, celPolicy(name), celBinding(name, v.selector()))
		} else {
			out = append(out, allowing(name, v1alpha1.NamespacePattern(v.namespace())))
		}
	}
	return out
}

func (v variant) selector() *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{label: v.name}}
}

// allowing is an EgressPolicy of the library that allows those hosts in one namespace.
func allowing(name string, namespace v1alpha1.NamespacePattern) *v1alpha1.EgressPolicy {
	return &v1alpha1.EgressPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.EgressPolicySpec{
		Policy: "allowed-hosts", Parameters: &apiextensionsv1.JSON{Raw: []byte(`{"hosts": ["` + strings.Join(allowed(), `","`) + `"]}`)},
		Match: v1alpha1.Match{Namespaces: []v1alpha1.NamespacePattern{namespace}},
	}}
}

// celPolicy holds hosts against the same list in CEL.
func celPolicy(name string) *admissionregistrationv1.ValidatingAdmissionPolicy {
	fail := admissionregistrationv1.Fail
	return &admissionregistrationv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: admissionregistrationv1.ValidatingAdmissionPolicySpec{
		FailurePolicy: &fail,
		MatchConstraints: &admissionregistrationv1.MatchResources{ResourceRules: []admissionregistrationv1.NamedRuleWithOperations{{
			RuleWithOperations: serviceEntries(),
		}}},
		Variables: []admissionregistrationv1.Variable{{Name: "allowed", Expression: `["` + strings.Join(allowed(), `","`) + `"]`}},
		Validations: []admissionregistrationv1.Validation{{
			Expression: `object.spec.hosts.all(host, host in variables.allowed || variables.allowed.exists(pattern, pattern.startsWith("*.") && host.endsWith(pattern.substring(1))))`,
			Message:    "a host is not allowed",
		}},
	}}
}

func celBinding(name string, of *metav1.LabelSelector) *admissionregistrationv1.ValidatingAdmissionPolicyBinding {
	return &admissionregistrationv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec{
		PolicyName: name, ValidationActions: []admissionregistrationv1.ValidationAction{admissionregistrationv1.Deny},
		MatchResources: &admissionregistrationv1.MatchResources{NamespaceSelector: of},
	}}
}

func serviceEntries() admissionregistrationv1.RuleWithOperations {
	return admissionregistrationv1.RuleWithOperations{
		Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create, admissionregistrationv1.Update},
		Rule:       admissionregistrationv1.Rule{APIGroups: []string{"networking.istio.io"}, APIVersions: []string{"v1"}, Resources: []string{"serviceentries"}},
	}
}

// entry is what is written: its own namespace alone sees it, so that nobody else's policies are asked.
func entry(namespace, name, host string) []byte {
	return fmt.Appendf(nil, `{"apiVersion":"networking.istio.io/v1","kind":"ServiceEntry","metadata":{"name":%q,"namespace":%q,"labels":{"app.kubernetes.io/name":"bench"}},
"spec":{"hosts":[%q],"exportTo":["."],"resolution":"DNS","ports":[{"number":80,"name":"http","protocol":"HTTP"},{"number":443,"name":"tls","protocol":"TLS"}]}}`, name, namespace, host)
}
