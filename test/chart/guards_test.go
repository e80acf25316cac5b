package chart

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/egress-governor/egress-governor/test/controlplane"
)

// guards returns the guards among objects, and what becomes of who is caught, by name without the release's; of who is caught in an
// observed namespace by that name and "-audit".
func guards(t *testing.T, objects []*unstructured.Unstructured) (policies map[string]*admissionv1.ValidatingAdmissionPolicy, actions map[string][]admissionv1.ValidationAction) {
	t.Helper()
	policies, actions = map[string]*admissionv1.ValidatingAdmissionPolicy{}, map[string][]admissionv1.ValidationAction{}
	for _, object := range objects {
		name := strings.TrimPrefix(object.GetName(), controlplane.Release+"-")
		switch object.GetKind() {
		case "ValidatingAdmissionPolicy":
			policies[name] = &admissionv1.ValidatingAdmissionPolicy{}
			require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, policies[name]))
		case "ValidatingAdmissionPolicyBinding":
			binding := &admissionv1.ValidatingAdmissionPolicyBinding{}
			require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, binding))
			guard := strings.TrimSuffix(name, "-audit")
			assert.Equal(t, controlplane.Release+"-"+guard, binding.Spec.PolicyName)
			assert.Equal(t, modes(guard, name != guard), binding.Spec.MatchResources, "the policy says what else it is for")
			actions[name] = binding.Spec.ValidationActions
		}
	}
	return policies, actions
}

// everywhere are the guards that hold whatever the mode of a namespace is.
var everywhere = []string{"break-glass", "exit-sets", "namespace-labels"}

// modes returns in which namespaces a binding has its guard hold: all where it is nil.
func modes(guard string, observed bool) *admissionv1.MatchResources {
	if slices.Contains(everywhere, guard) {
		return nil
	}
	operator := metav1.LabelSelectorOpNotIn
	if observed {
		operator = metav1.LabelSelectorOpIn
	}
	return &admissionv1.MatchResources{NamespaceSelector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
		{Key: "egress-governor.io/mode", Operator: operator, Values: []string{"Observe"}},
	}}}
}

// keys are the guards by their names in the values.
var keys = map[string]string{
	"traffic": "traffic", "injection": "injection", "host-network": "hostNetwork", "name-resolution": "nameResolution", "privileges": "privileges", "external-names": "externalNames",
	"networks": "networks", "root-certs": "rootCerts",
	"endpoints": "endpoints", "proxy-exec": "proxyExec", "bindings": "traffic", "namespace-labels": "namespaceLabels", "entries": "entries", "entry-addresses": "entryAddresses", "exit-sets": "exitSets",
}

// TestGuardsAreClosed: each has its binding, holds in the governed namespaces, and says what is wrong and how to mend it.
func TestGuardsAreClosed(t *testing.T) {
	t.Parallel()
	objects := rendered(t, nil)
	mutate := only[admissionv1.MutatingWebhookConfiguration](t, objects, "MutatingWebhookConfiguration").Webhooks[0]
	policies, actions := guards(t, objects)
	require.Len(t, policies, len(keys)+1)
	// Where the webhook is asked, but for the mode, which bindings go by.
	governable := mutate.NamespaceSelector.DeepCopy()
	last := len(governable.MatchExpressions) - 1
	assert.Equal(t, "egress-governor.io/mode", governable.MatchExpressions[last].Key)
	governable.MatchExpressions = governable.MatchExpressions[:last]
	for name, policy := range policies {
		want := []admissionv1.ValidationAction{"Deny"}
		if name == "break-glass" {
			want = []admissionv1.ValidationAction{"Warn", "Audit"}
		}
		assert.Equal(t, want, actions[name], name)
		if !slices.Contains(everywhere, name) {
			assert.Equal(t, []admissionv1.ValidationAction{"Audit"}, actions[name+"-audit"], name)
		}
		assert.Nil(t, policy.Spec.FailurePolicy, "%s: Fail, which is the API's default", name)
		require.NotEmpty(t, policy.Spec.Validations, name)
		for _, validation := range policy.Spec.Validations {
			assert.Contains(t, validation.Message+validation.MessageExpression, ". Fix: ", name)
			assert.Equal(t, "Forbidden", string(*validation.Reason), name)
		}
		switch name {
		case "break-glass", "entry-addresses", "exit-sets", "namespace-labels":
			assert.Nil(t, policy.Spec.MatchConstraints.NamespaceSelector, name)
		case "entries", "external-names", "endpoints", "networks", "root-certs":
			assert.Equal(t, governable, policy.Spec.MatchConstraints.NamespaceSelector, name)
		default: // those of pods
			selector := policy.Spec.MatchConstraints.NamespaceSelector.DeepCopy()
			last := len(selector.MatchExpressions) - 1
			assert.Equal(t, "egress-governor.io/exempt-pods", selector.MatchExpressions[last].Key)
			selector.MatchExpressions = selector.MatchExpressions[:last]
			assert.Equal(t, governable, selector, name)
		}
	}
}

// TestAGuardIsWhatTheValuesSay: each of the four, and none where there can be none.
func TestAGuardIsWhatTheValuesSay(t *testing.T) {
	t.Parallel()
	for enforcement, want := range map[string][]admissionv1.ValidationAction{"Deny": {"Deny"}, "Warn": {"Warn", "Audit"}, "Audit": {"Audit"}, "Off": nil} {
		for name, key := range keys {
			_, actions := guards(t, rendered(t, values{"guards": values{key: values{"enforcement": enforcement}}}))
			assert.Equal(t, want, actions[name], "%s: %s", name, enforcement)
		}
	}
	policies, _ := guards(t, rendered(t, values{"config": values{"serviceEntries": "Leave"}}))
	assert.NotContains(t, policies, "entries", "nothing is sealed")
	assert.Contains(t, policies, "exit-sets")
	policies, _ = guards(t, rendered(t, values{"guards": values{"enabled": false}}))
	assert.Empty(t, policies)
	old, err := controlplane.RenderFor("v1.30.4", chart, nil)
	require.NoError(t, err)
	policies, _ = guards(t, old)
	assert.Empty(t, policies, "the API server would refuse the chart")
}

// TestGuardsKnowTheGatewaysAndTheWebhook by the values of the rest of the chart.
func TestGuardsKnowTheGatewaysAndTheWebhook(t *testing.T) {
	t.Parallel()
	policies, _ := guards(t, rendered(t, values{"gateway": values{"create": true}, "config": values{"clusterDomain": "corp.local", "gateways": []any{
		values{"name": "a", "service": "out.ways.svc.corp.local", "selector": values{"app": "out"}, "ports": values{"http": 80}, "namespaceSelector": values{"matchExpressions": []any{values{"key": "team", "operator": "Exists"}}}},
	}}}))
	variables := func(guard string) string {
		out := ""
		for _, variable := range policies[guard].Spec.Variables {
			out += variable.Expression + "\n"
		}
		return out
	}
	assert.Contains(t, variables("entries"), `["out.ways.svc.corp.local","egress-governor-gateway.egress-governor-gateway.svc.corp.local"]`)
	assert.Contains(t, variables("entries"), `[.]svc[.]corp[.]local[.]?$`)
	assert.Contains(t, variables("namespace-labels"), `(true && ("team" in variables.now)) ? "a" : (true) ? "own" : ""`)
	conditions := ""
	for _, condition := range policies["exit-sets"].Spec.MatchConditions {
		conditions += condition.Expression + "\n"
	}
	assert.Contains(t, conditions, `request.namespace in ["ways","egress-governor-gateway"]`)
	assert.Contains(t, conditions, `request.userInfo.username != "system:serviceaccount:egress-governor:egress-governor"`)
}

// TestRoutesAloneNeedNoSealedEntry: the guard of entries is not made, routes of ours are the webhook's alone to write, and
// values that need sealed entries are refused.
func TestRoutesAloneNeedNoSealedEntry(t *testing.T) {
	t.Parallel()
	leave := func(config values) values {
		config["serviceEntries"] = "Leave"
		return values{"config": config}
	}
	writes := func(objects []*unstructured.Unstructured) (out []string) {
		for _, object := range objects {
			if object.GetKind() != "ClusterRole" {
				continue
			}
			rules, _, _ := unstructured.NestedSlice(object.Object, "rules")
			for _, item := range rules {
				rule := item.(map[string]any)
				resources, _, _ := unstructured.NestedStringSlice(rule, "resources")
				verbs, _, _ := unstructured.NestedStringSlice(rule, "verbs")
				if slices.Contains(resources, "virtualservices") {
					out = append(out, verbs...)
				}
			}
		}
		return out
	}
	sealing, byRoutes := rendered(t, nil), rendered(t, leave(values{}))
	assert.NotContains(t, writes(sealing), "create")
	assert.Contains(t, writes(sealing), "delete", "what was kept before the switch goes")
	assert.Contains(t, writes(byRoutes), "create")
	assert.NotContains(t, writes(rendered(t, leave(values{"virtualServices": "Leave"}))), "create")
	policies, _ := guards(t, byRoutes)
	assert.NotContains(t, policies, "entries")
	conditions := ""
	for _, condition := range policies["exit-sets"].Spec.MatchConditions {
		conditions += condition.Expression + "\n"
	}
	assert.Contains(t, conditions, `request.resource.resource in ["destinationrules", "virtualservices"]`)

	mutual := values{"name": "a", "service": "out.ways.svc.cluster.local", "selector": values{"app": "out"}, "ports": values{"http": 80}, "transport": "MutualTLS"}
	for want, config := range map[string]values{"transport": {"gateways": []any{mutual}}, "exportTo": {"exportTo": "OwnNamespace"}} {
		_, err := controlplane.Render(chart, leave(config))
		require.ErrorContains(t, err, want)
		config["virtualServices"] = "Leave"
		_, err = controlplane.Render(chart, leave(config))
		require.NoError(t, err)
	}
	own := leave(values{})
	own["gateway"] = values{"create": true}
	_, err := controlplane.Render(chart, own)
	require.ErrorContains(t, err, "create")
}

// The roles of those who set the labels of namespaces, and who run commands in proxies.
const (
	labeller  = controlplane.Release + "-namespace-labels"
	proxyExec = controlplane.Release + "-proxy-exec"
)

// TestRolesAreWhatTheirGuardsAskFor in the whole cluster, bound to nobody, and there where the guard is.
func TestRolesAreWhatTheirGuardsAskFor(t *testing.T) {
	t.Parallel()
	for guard, want := range map[string]rbacv1.PolicyRule{
		"namespace-labels": {APIGroups: []string{"egress-governor.io"}, Resources: []string{"namespaces"}, Verbs: []string{"label"}},
		"proxy-exec":       {APIGroups: []string{"egress-governor.io"}, Resources: []string{"pods"}, Verbs: []string{"exec-proxy"}},
	} {
		name := controlplane.Release + "-" + guard
		roleOf := func(objects []*unstructured.Unstructured) (out *rbacv1.ClusterRole) {
			for _, object := range objects {
				if object.GetKind() == "ClusterRole" && object.GetName() == name {
					out = &rbacv1.ClusterRole{}
					require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, out))
				}
				if object.GetKind() == "ClusterRoleBinding" {
					role, _, _ := unstructured.NestedString(object.Object, "roleRef", "name")
					assert.NotEqual(t, name, role)
				}
			}
			return out
		}
		objects := rendered(t, nil)
		role := roleOf(objects)
		require.NotNil(t, role, name)
		assert.Equal(t, []rbacv1.PolicyRule{want}, role.Rules)
		for label := range role.Labels {
			assert.NotContains(t, label, "aggregate-to", "nobody has it by the roles of tenants")
		}
		policies, _ := guards(t, objects)
		asks := ""
		for _, variable := range policies[guard].Spec.Variables {
			if variable.Name == "may" {
				asks = variable.Expression
			}
		}
		assert.Contains(t, asks, `authorizer.group("egress-governor.io").resource("`+want.Resources[0]+`")`)
		assert.Contains(t, asks, `.check("`+want.Verbs[0]+`").allowed()`)
		assert.NotContains(t, asks, ".namespace(", "rights in one namespace are none")
		for _, validation := range policies[guard].Spec.Validations {
			assert.Contains(t, validation.Message+validation.MessageExpression, "ClusterRole "+name)
		}
		assert.Nil(t, roleOf(rendered(t, values{"guards": values{keys[guard]: values{"enforcement": "Off"}}})))
	}
}
