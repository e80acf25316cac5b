package checkup

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/charts"
	"github.com/egress-governor/egress-governor/internal/chart"
)

// installed is a sound cluster with the guards that the chart writes, as a release has them of another name.
func installed(t *testing.T, change func(text string) string) *Snapshot {
	t.Helper()
	s := sound(t)
	var err error
	s.Guards, err = chart.Guards(s.Configuration, s.Release.Namespace)
	require.NoError(t, err)
	s.Objects[guards], s.Objects[bindings] = nil, nil
	for _, object := range s.Guards {
		raw, err := json.Marshal(object)
		require.NoError(t, err)
		text := strings.NewReplacer(`"name":"egress-governor-`, `"name":"governor-`, `"policyName":"egress-governor-`, `"policyName":"governor-`, `:egress-governor\"`, `:governor\"`).Replace(string(raw))
		of := &unstructured.Unstructured{}
		require.NoError(t, of.UnmarshalJSON([]byte(change(text))), text)
		put(t, s, of)
	}
	return s
}

func replace(old, with string) func(string) string {
	return func(text string) string { return strings.ReplaceAll(text, old, with) }
}

// TestGuardsAreHeldToTheChart: whatever has one catch less is found, and what values say is not.
func TestGuardsAreHeldToTheChart(t *testing.T) {
	t.Parallel()
	const lists = `"values":["kube-system","platform","istio-system"]`
	for name, each := range map[string]struct {
		change func(string) string
		want   string
	}{
		"as it is":                 {replace("", ""), ""},
		"another order":            {replace(lists, `"values":["platform","istio-system","kube-system"]`), ""},
		"more is looked at":        {replace(`"operations":["CREATE","UPDATE"]`, `"operations":["*"]`), ""},
		"users are exempt":         {replace(`request.userInfo.username in []`, `request.userInfo.username in [\"a b\",\"root\"]`), ""},
		"pods of all namespaces":   {replace(`"name":"inMesh"`, `"name":"inMesh","expression":"true"`), ""},
		"images":                   {replace(`container.?image.orValue(\"\") == \"auto\" \u0026\u0026 `, ""), ""},
		"another namespace":        {replace(lists, `"values":["kube-system","platform","istio-system","evil"]`), "has another namespaceSelector than the chart writes"},
		"some objects":             {replace(`"matchConstraints":{`, `"matchConstraints":{"objectSelector":{"matchLabels":{"a":"b"}},`), "has another objectSelector than the chart writes"},
		"one version":              {replace(`"matchConstraints":{`, `"matchConstraints":{"matchPolicy":"Exact",`), "has matchPolicy Exact"},
		"some are left out":        {replace(`"matchConstraints":{`, `"matchConstraints":{"excludeResourceRules":[{"apiGroups":["*"],"apiVersions":["*"],"resources":["*"],"operations":["*"]}],`), "has excludeResourceRules, which the chart does not write"},
		"no updates":               {replace(`"operations":["CREATE","UPDATE"],"resources":["serviceentries"]`, `"operations":["CREATE"],"resources":["serviceentries"]`), "does not look at all serviceentries that the chart has it look at"},
		"one object":               {replace(`"resources":["serviceentries"]`, `"resourceNames":["a"],"resources":["serviceentries"]`), "does not look at all serviceentries that the chart has it look at"},
		"parameters":               {replace(`"matchConstraints":{`, `"paramKind":{"apiVersion":"v1","kind":"ConfigMap"},"matchConstraints":{`), "takes parameters, which the chart does not write"},
		"a condition of that name": {replace(`"name":"changed"`, `"name":"changed","expression":"false"`), `has a match condition "changed" that the chart does not write`},
		"another variable":         {replace(`"name":"sealed"`, `"name":"sealed","expression":"true"`), `has not the variable "sealed" that the chart writes`},
		"another validation":       {replace(`"expression":"variables.sealed || variables.internal"`, `"expression":"true"`), "has not the 1. validation that the chart writes"},
	} {
		s := installed(t, each.change)
		result := checks[indexOf("guards")].of(s)
		if each.want == "" {
			assert.Equal(t, Sound, result.Status, "%s: %v", name, result)
			continue
		}
		require.NotEmpty(t, result.Findings, name)
		assert.Equal(t, "guard-narrowed", result.Findings[0].Code, name)
		assert.Contains(t, result.Findings[0].Message, each.want, name)
	}
	other := checks[indexOf("guards")].of(installed(t, replace(`"helm.sh/chart":"egress-governor-`, `"helm.sh/chart":"egress-governor-9`)))
	assert.Equal(t, Unknown, other.Status, "of another version it is not known")
}

// TestABindingWithParametersIsNarrow: where there are none it binds nothing.
func TestABindingWithParametersIsNarrow(t *testing.T) {
	t.Parallel()
	s := sound(t)
	set(t, s, bindings, "governor-entries", map[string]any{"name": "a"}, "spec", "paramRef")
	assert.Contains(t, codes(Run(s, nil)), "guards error guard-narrowed")
}

// TestConditionsAreTheChartsOwn, word for word.
func TestConditionsAreTheChartsOwn(t *testing.T) {
	t.Parallel()
	var text string
	for _, name := range []string{"_helpers.tpl", "validatingwebhookconfiguration.yaml"} {
		raw, err := charts.Folder.ReadFile("egress-governor/templates/" + name)
		require.NoError(t, err)
		text += string(raw)
	}
	text = strings.ReplaceAll(text, `{{ include "egress-governor.controllers" (list "namespace-controller") }}`,
		`["system:kube-controller-manager", "system:serviceaccount:kube-system:namespace-controller"]`)
	for name, expression := range chartConditions {
		assert.Contains(t, general(text), general("- name: "+name+" expression: >- "+expression), name)
	}
}

// TestWebhooksAreAskedAboutAllOfIt: each operation, version and scope, and by the chart's conditions alone.
func TestWebhooksAreAskedAboutAllOfIt(t *testing.T) {
	t.Parallel()
	rule := func(of map[string]any, i int) map[string]any { return of["rules"].([]any)[i].(map[string]any) }
	for name, each := range map[string]struct {
		change func(webhook map[string]any)
		want   string
	}{
		"deletions":          {func(of map[string]any) { of["rules"] = of["rules"].([]any)[:2] }, "is not asked about the deletion of destinationrules"},
		"the cluster's":      {func(of map[string]any) { rule(of, 0)["scope"] = "Cluster" }, "is not asked about destinationrules, gateways, serviceentries, virtualservices"},
		"no version":         {func(of map[string]any) { rule(of, 1)["apiVersions"] = []any{"v2"} }, "is not asked about grpcroutes, httproutes, tcproutes, tlsroutes"},
		"that version alone": {func(of map[string]any) { of["matchPolicy"] = "Exact" }, "is not asked about"},
		"a condition of that name": {func(of map[string]any) {
			of["matchConditions"] = []any{map[string]any{"name": "not-finalized", "expression": "false"}}
		}, `has a match condition "not-finalized" that the chart does not write`},
	} {
		s := sound(t)
		eachWebhook(s.Objects[validating][0], func(of map[string]any) {
			if of["name"] == validateWebhook {
				each.change(of)
			}
		})
		result := checks[indexOf("webhooks")].of(s)
		require.Len(t, result.Findings, 1, name)
		assert.Contains(t, result.Findings[0].Message, each.want, name)
	}
	s := sound(t)
	s.Mesh.Block = true
	assert.Contains(t, codes(Run(s, nil)), "webhooks error webhook-narrowed", "Sidecars are sent where they are closed")
}
