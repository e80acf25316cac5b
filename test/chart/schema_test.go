package chart

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/policy"
	"github.com/egress-governor/egress-governor/policies"
	"github.com/egress-governor/egress-governor/test/controlplane"
)

// TestWrongValuesAreRefused: helm names the value before anything is installed.
func TestWrongValuesAreRefused(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		given values
		says  string
	}{
		"unknown":             {values{"replicas": 3}, "replicas"},
		"unknown, nested":     {values{"image": values{"name": "x"}}, "name"},
		"no replica":          {values{"replicaCount": 0}, "replicaCount"},
		"transport":           {values{"config": values{"gateways": []any{values{"name": "a", "service": "a.b.svc.cluster.local", "selector": values{"a": "b"}, "ports": values{"http": 80, "tls": 443}, "transport": "mTLS"}}}}, "transport"},
		"no Secret":           {values{"certificates": values{"mode": "existingSecret"}}, "existingSecret"},
		"share":               {values{"suspend": values{"maxShare": 20}}, "maxShare"},
		"interval":            {values{"audit": values{"interval": "daily"}}, "interval"},
		"timeout":             {values{"webhook": values{"timeoutSeconds": 60}}, "timeoutSeconds"},
		"mode":                {values{"config": values{"serviceEntries": "seal"}}, "serviceEntries"},
		"gateway's service":   {values{"config": values{"gateways": []any{values{"name": "a", "service": "egress", "selector": values{"a": "b"}, "ports": values{"http": 80, "tls": 443}}}}}, "service"},
		"mode of nobody":      {values{"mode": "Off"}, "mode"},
		"interval of seconds": {values{"audit": values{"interval": "10s"}}, "interval"},
		"no range":            {values{"config": values{"meshCIDRs": []any{"banana"}}}, "meshCIDRs"},
		"no domain":           {values{"config": values{"clusterDomain": "Foo_"}}, "clusterDomain"},
		"no ranges":           {values{"gateway": values{"create": true, "wildcards": "Resolve"}}, "config.clusterCIDRs"},
		"digest":              {values{"image": values{"digest": "latest"}}, "digest"},
		"an argument":         {values{"extraArgs": []any{"serve"}}, "extraArgs"},
		"traces of nobody":    {values{"tracing": values{"endpoint": "collector:4317"}}, "endpoint"},
		"traces, password":    {values{"tracing": values{"endpoint": "https://me:secret@collector:4317"}}, "endpoint"},
		"dialect of traces":   {values{"tracing": values{"protocol": "http/json"}}, "protocol"},
		"share of traces":     {values{"tracing": values{"ratio": 20}}, "ratio"},
		"log level":           {values{"logLevel": "loud"}, "logLevel"},
		"annotation":          {values{"podAnnotations": values{"n": 1}}, "podAnnotations"},
		"tag that is number":  {values{"image": values{"tag": 1.5}}, "tag"},
		"everybody calls":     {values{"gateway": values{"networkPolicy": values{"from": []any{}}}}, "from"},
		"everybody, a peer":   {values{"gateway": values{"networkPolicy": values{"from": []any{values{}}}}}, "from"},
		"nothing outside":     {values{"gateway": values{"networkPolicy": values{"clusterCIDRs": []any{"0.0.0.0/0"}}}}, "clusterCIDRs"},
		"an address":          {values{"gateway": values{"networkPolicy": values{"clusterCIDRs": []any{"10.0.0.1"}}}}, "clusterCIDRs"},
		"guard":               {values{"guards": values{"traffic": values{"enforcement": "deny"}}}, "enforcement"},
		"guard of nobody":     {values{"guards": values{"pods": values{"enforcement": "Off"}}}, "pods"},
		"unregistered":        {values{"config": values{"unregistered": "block"}}, "unregistered"},
		"network policies":    {values{"config": values{"networkPolicies": "On"}}, "networkPolicies"},
		"a peer of nothing":   {values{"config": values{"networkPolicy": values{"allow": []any{values{}}}}}, "allow"},
		"a peer misnamed":     {values{"config": values{"networkPolicy": values{"pods": []any{}}}}, "pods"},
		"no port of DNS":      {values{"config": values{"networkPolicy": values{"dns": values{"ports": []any{}}}}}, "ports"},
		"standard of nobody":  {values{"baseline": values{"policies": values{"envoy-extension": values{"enforcement": "Warn"}}}}, "'/baseline/policies': additional properties 'envoy-extension'"},
		"bundle's name":       {values{"config": values{"opa": values{"bundles": values{"A_b": values{"service": "s", "resource": "r"}}}}}, "'/config/opa/bundles': additional properties 'A_b'"},
		"an expression":       {values{"namespaceSelector": values{"matchExpressions": []any{values{"key": "a", "operator": "in"}}}}, "operator"},
		"a label of no text":  {values{"namespaceSelector": values{"matchLabels": values{"a": true}}}, "matchLabels"},
		"selector, misnamed":  {values{"config": values{"gateways": []any{with(gatewayValues("Plain"), "namespaceSelector", values{"matchLabel": values{}})}}}, "matchLabel"},
		"a door's peer":       {values{"networkPolicy": values{"metrics": []any{values{"namespaceSelectors": values{}}}}}, "namespaceSelectors"},
		"an issuer's field":   {values{"certificates": values{"issuerRef": values{"names": "a"}}}, "names"},
		"a secret to pull":    {values{"imagePullSecrets": []any{"pull"}}, "imagePullSecrets"},
		"our gateway's name":  {values{"gateway": values{"create": true}, "config": values{"gateways": []any{values{"name": "own", "service": "a.b.svc.cluster.local", "selector": values{"a": "b"}, "ports": values{"http": 80, "tls": 443}}}}}, "own"},

		"a range of no size": {values{"config": values{"clusterCIDRs": []any{"10.0.0.0/99"}}}, "clusterCIDRs"},
		"a range of no such": {values{"config": values{"meshCIDRs": []any{"10.0.0.256/8"}}}, "meshCIDRs"},
		"gateways of a name": {two("name", "out"), "config.gateways[1].name"},
		"of a Service":       {two("service", "out.ways.svc.cluster.local"), "config.gateways[1].service"},
		"of the same pods":   {two("selector", values{"app": "out", "tier": "a", "more": "b"}), "config.gateways[1].selector"},
		"of the same, wider": {two("selector", values{"app": "out"}), "config.gateways[1].selector"},
		"of other clusters":  {two("service", "other.ways.svc.other.local"), "config.gateways[1].service"},
		"of one port":        {two("ports", values{"http": 80, "tls": 80}), "config.gateways[1].ports"},
		"of the name of one": {two("name", "a-mutual-tls"), "config.gateways[1].name"},
		"that resolves":      {two("wildcards", "Resolve"), "config.gateways[1].wildcards"},
		"waypoint, mutual":   {values{"config": values{"gateways": []any{with(gatewayValues("MutualTLS"), "waypoint", values{"name": "w"})}}}, "config.gateways[0].waypoint"},
		"a parameter":        {values{"baseline": values{"policies": values{"envoy-extensions": values{"parameters": values{"user": []any{}}}}}}, "user"},
		"of no such type":    {values{"baseline": values{"policies": values{"route-integrity": values{"parameters": values{"mirrors": "no"}}}}}, "mirrors"},
		"of none":            {values{"baseline": values{"policies": values{"mesh-hosts": values{"parameters": values{"hosts": []any{}}}}}}, "/baseline/policies/mesh-hosts"},
		"no drain":           {values{"podDisruptionBudget": values{"minAvailable": 2}}, "podDisruptionBudget.minAvailable"},
		"no drain, percent":  {values{"podDisruptionBudget": values{"minAvailable": "100%"}}, "podDisruptionBudget.minAvailable"},
		"no drain, scaled":   {values{"autoscaling": values{"enabled": true}, "replicaCount": 1, "podDisruptionBudget": values{"minAvailable": 2}}, "podDisruptionBudget.minAvailable"},
		"no drain, gateway":  {values{"gateway": values{"create": true, "podDisruptionBudget": values{"minAvailable": 3}}}, "gateway.podDisruptionBudget.minAvailable"},
		"two certificates":   {values{"certificates": values{"mode": "certManager", "existingSecret": "tls"}}, "existingSecret"},
		"an idle issuer":     {values{"certificates": values{"issuerRef": values{"name": "a"}}}, "issuerRef"},
		"a limit":            {values{"resources": values{"limit": values{}}}, "limit"},
		"a gateway's limit":  {values{"gateway": values{"resources": values{"limit": values{}}}}, "limit"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := controlplane.Render(chart, tc.given)
			require.Error(t, err)
			assert.Contains(t, err.Error(), tc.says)
		})
	}
}

// two are gateways that differ in all but what is given of the second.
func two(key string, is any) values {
	second := with(with(with(gatewayValues("Plain"), "name", "second"), "service", "second.ways.svc.cluster.local"), "selector", values{"app": "second"})
	return values{"config": values{"gateways": []any{with(gatewayValues("Plain"), "selector", values{"app": "out", "tier": "a"}), with(second, key, is)}}}
}

// TestGatewaysThatDifferAreTaken, in one namespace too.
func TestGatewaysThatDifferAreTaken(t *testing.T) {
	t.Parallel()
	for _, given := range []values{two("transport", "MutualTLS"), two("selector", values{"app": "out", "tier": "b"}), two("ports", values{"tls": 443})} {
		_, err := controlplane.Render(chart, given)
		require.NoError(t, err, given)
	}
}

// open are the values whose fields are not the chart's: Kubernetes' own types, which the API server knows, OPA's, and what is for every
// chart of a release.
var open = []string{
	"/properties/global",
	"/definitions/resources/properties/limits", "/definitions/resources/properties/requests", "/definitions/resources/properties/claims/items", "/properties/affinity", "/properties/podSecurityContext", "/properties/securityContext",
	"/properties/extraEnv/items", "/properties/tolerations/items", "/properties/topologySpreadConstraints/items",
	"/properties/gateway/properties/tolerations/items",
	"/definitions/byName/additionalProperties", "/definitions/standard/properties/parameters",
	"/properties/config/properties/opa/properties/bundles/patternProperties/^[a-z0-9]([a-z0-9-]*[a-z0-9])?$",
	"/properties/config/properties/opa/properties/decision_logs", "/properties/config/properties/opa/properties/plugins/properties/file_logger",
}

// TestAMistypedValueIsFoundWhereverItStands: no object of the schema takes fields that it does not name, and every list says of what it is.
func TestAMistypedValueIsFoundWhereverItStands(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(filepath.Join(chart, "values.schema.json"))
	require.NoError(t, err)
	var schema values
	require.NoError(t, json.Unmarshal(raw, &schema))
	var found []string
	walk(schema, "", func(path string, node values) {
		_, fields := node["additionalProperties"]
		_, items := node["items"]
		if node["type"] == "object" && !fields || node["properties"] != nil && node["type"] != "object" {
			found = append(found, path)
		}
		assert.Equal(t, node["type"] == "array", items, path)
	})
	assert.ElementsMatch(t, open, found)
}

// walk visits a schema and what it has within, but for conditions, which only narrow.
func walk(node values, path string, visit func(path string, node values)) {
	visit(path, node)
	for _, of := range []string{"definitions", "properties", "patternProperties"} {
		within, _ := node[of].(values)
		for _, name := range slices.Sorted(maps.Keys(within)) {
			walk(within[name].(values), path+"/"+of+"/"+name, visit)
		}
	}
	for _, of := range []string{"items", "additionalProperties"} {
		if within, is := node[of].(values); is {
			walk(within, path+"/"+of, visit)
		}
	}
}

// TestParametersOfStandardsAreThoseOfTheLibrary: helm refuses what the webhook would not start with.
func TestParametersOfStandardsAreThoseOfTheLibrary(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(filepath.Join(chart, "values.schema.json"))
	require.NoError(t, err)
	var schema values
	require.NoError(t, json.Unmarshal(raw, &schema))
	in, _, err := unstructured.NestedMap(schema, "properties", "baseline", "properties", "policies", "properties")
	require.NoError(t, err)
	engine, err := policy.NewEngine(policies.Library())
	require.NoError(t, err)
	described, err := engine.Describe()
	require.NoError(t, err)
	seen := 0
	for _, of := range described {
		if of.Baseline == "" {
			continue
		}
		seen++
		parts, _, err := unstructured.NestedSlice(in, of.Name, "allOf")
		require.NoError(t, err, of.Name)
		require.Len(t, parts, 2, of.Name)
		parameters, _, err := unstructured.NestedMap(parts[1].(values), "properties", "parameters")
		require.NoError(t, err, of.Name)
		want, _ := json.Marshal(undescribed(of.Parameters))
		is, _ := json.Marshal(parameters)
		assert.JSONEq(t, string(want), string(is), of.Name)
	}
	assert.Len(t, in, seen)
}

// undescribed is a schema without what it says to people.
func undescribed(schema any) any {
	of, is := schema.(values)
	if !is {
		return schema
	}
	out := values{}
	for key, value := range of {
		if _, text := value.(string); key != "description" || !text {
			out[key] = undescribed(value)
		}
	}
	return out
}
