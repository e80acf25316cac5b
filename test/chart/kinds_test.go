package chart

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/config"
	"github.com/egress-governor/egress-governor/internal/policy"
	"github.com/egress-governor/egress-governor/internal/review"
	"github.com/egress-governor/egress-governor/policies"
	"github.com/egress-governor/egress-governor/test/controlplane"
)

// TestTheChartAsksForEveryGovernedKind that is not asked for by policies alone, and the EgressPolicy can match each kind: both
// follow the table of kinds.
func TestTheChartAsksForEveryGovernedKind(t *testing.T) {
	t.Parallel()
	objects := rendered(t, values{"config": values{"unregistered": "Block"}})
	var resources, kinds []string
	always, leaving := map[string][]string{}, []string{}
	for _, kind := range v1alpha1.DefaultKinds {
		kind := string(kind)
		plural := strings.ToLower(kind) + "s"
		if strings.HasSuffix(kind, "Entry") {
			plural = strings.ToLower(strings.TrimSuffix(kind, "y")) + "ies"
		}
		resource, _ := review.ResourceOf(kind)
		always[resource.Group] = append(always[resource.Group], plural)
		if resource.Leaves {
			leaving = append(leaving, plural)
		}
	}
	resources = slices.Concat(always["networking.istio.io"], []string{"sidecars"}) // what is completed
	mutating := only[admissionv1.MutatingWebhookConfiguration](t, objects, "MutatingWebhookConfiguration")
	assert.ElementsMatch(t, resources, mutating.Webhooks[0].Rules[0].Resources)
	assert.Equal(t, []string{"networking.istio.io"}, mutating.Webhooks[0].Rules[0].APIGroups)
	require.Len(t, mutating.Webhooks[0].Rules, 1)
	validating := only[admissionv1.ValidatingWebhookConfiguration](t, objects, "ValidatingWebhookConfiguration").Webhooks[0]
	require.Len(t, validating.Rules, len(always)+1)
	assert.Equal(t, mutating.Webhooks[0].Rules[0], validating.Rules[0])
	assert.Equal(t, []string{"gateway.networking.k8s.io"}, validating.Rules[1].APIGroups)
	assert.ElementsMatch(t, always["gateway.networking.k8s.io"], validating.Rules[1].Resources)
	routes, _ := review.ResourceOf("HTTPRoute")
	assert.Equal(t, routes.Versions, validating.Rules[1].APIVersions)
	deletes := mutating.Webhooks[0].Rules[0]
	deletes.Operations, deletes.Resources = []admissionv1.OperationType{admissionv1.Delete}, leaving
	assert.Equal(t, deletes, validating.Rules[2])
	require.NotNil(t, validating.MatchPolicy)
	assert.Equal(t, admissionv1.Equivalent, *validating.MatchPolicy, "a version that comes later is converted to one of these")

	crd := only[apiextensionsv1.CustomResourceDefinition](t, objects, "CustomResourceDefinition")
	schema := crd.Spec.Versions[0].Schema.OpenAPIV3Schema
	for _, value := range schema.Properties["spec"].Properties["match"].Properties["kinds"].Items.Schema.Enum {
		kinds = append(kinds, strings.Trim(string(value.Raw), `"`))
	}
	require.NotEmpty(t, kinds)
	assert.ElementsMatch(t, review.Kinds(), kinds)
}

// TestTheChartHasTheBaselineOfTheLibrary: its values name each policy, and the webhook may change those and no others.
func TestTheChartHasTheBaselineOfTheLibrary(t *testing.T) {
	t.Parallel()
	e, err := policy.NewEngine(policies.Library())
	require.NoError(t, err)
	objects := rendered(t, nil)
	configuration, err := config.Parse([]byte(only[corev1.ConfigMap](t, objects, "ConfigMap").Data["config.yaml"]))
	require.NoError(t, err)
	assert.EqualValues(t, "Deny", configuration.Baseline.Enforcement)
	assert.ElementsMatch(t, e.Standards(), slices.Collect(maps.Keys(configuration.Baseline.Policies)))
	role := only[rbacv1.ClusterRole](t, objects, "ClusterRole")
	var want, got []string
	for _, name := range e.Standards() {
		want = append(want, policy.BaselinePrefix+name)
	}
	for _, rule := range role.Rules {
		if slices.Contains(rule.Resources, "egresspolicies") && slices.Contains(rule.Verbs, "update") {
			got = rule.ResourceNames
		}
	}
	assert.ElementsMatch(t, want, got)
	for _, off := range []any{"Off", false} {
		objects := rendered(t, values{"baseline": values{"enforcement": off}})
		configuration, err := config.Parse([]byte(only[corev1.ConfigMap](t, objects, "ConfigMap").Data["config.yaml"]))
		require.NoError(t, err)
		assert.EqualValues(t, "Off", configuration.Baseline.Enforcement)
	}
	_, err = controlplane.Render(chart, values{"baseline": values{"policies": values{"allowed-hosts": values{}}}})
	require.Error(t, err)
}

// TestThePoliciesWebhookSendsNothingByItself: its rules come from the policies, and whatever certificates are made by, the
// webhook may write them.
func TestThePoliciesWebhookSendsNothingByItself(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"selfManaged", "certManager"} {
		objects := rendered(t, values{"certificates": values{"mode": mode}})
		validating := only[admissionv1.ValidatingWebhookConfiguration](t, objects, "ValidatingWebhookConfiguration")
		first, policies := validating.Webhooks[0], validating.Webhooks[1]
		require.Equal(t, "policies.egress-governor.io", policies.Name)
		assert.Empty(t, policies.Rules)
		policies.Name, policies.Rules = first.Name, first.Rules
		// Nobody is asked about what policies judge when it is deleted.
		require.Len(t, first.MatchConditions, 2)
		first.MatchConditions = first.MatchConditions[:1]
		assert.Equal(t, first, policies)
		may := slices.ContainsFunc(only[rbacv1.ClusterRole](t, objects, "ClusterRole").Rules, func(rule rbacv1.PolicyRule) bool {
			return slices.Contains(rule.Resources, "validatingwebhookconfigurations") && slices.Contains(rule.Verbs, "patch") &&
				slices.Equal(rule.ResourceNames, []string{validating.Name})
		})
		assert.True(t, may, mode)
	}
}

// TestAnUpgradeLeavesTheRulesOfThePolicies: the three-way patch of helm says nothing of what no manifest says.
func TestAnUpgradeLeavesTheRulesOfThePolicies(t *testing.T) {
	t.Parallel()
	var raw []byte
	for _, object := range rendered(t, nil) {
		if object.GetKind() == "ValidatingWebhookConfiguration" {
			var err error
			raw, err = object.MarshalJSON()
			require.NoError(t, err)
		}
	}
	live := &admissionv1.ValidatingWebhookConfiguration{}
	require.NoError(t, json.Unmarshal(raw, live))
	live.Webhooks[1].Rules = live.Webhooks[0].Rules
	live.Webhooks[1].ClientConfig.CABundle = []byte("authority")
	current, err := json.Marshal(live)
	require.NoError(t, err)
	meta, err := strategicpatch.NewPatchMetaFromStruct(live)
	require.NoError(t, err)
	patch, err := strategicpatch.CreateThreeWayMergePatch(raw, raw, current, meta, true)
	require.NoError(t, err)
	patched, err := strategicpatch.StrategicMergePatch(current, patch, live)
	require.NoError(t, err)
	after := &admissionv1.ValidatingWebhookConfiguration{}
	require.NoError(t, json.Unmarshal(patched, after))
	assert.Equal(t, live.Webhooks[1], after.Webhooks[1])
}
