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
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := controlplane.Render(chart, tc.given)
			require.Error(t, err)
			assert.Contains(t, err.Error(), tc.says)
		})
	}
}

// open are the values whose fields are not the chart's: Kubernetes' own types, which the API server knows, OPA's, and what is for every
// chart of a release.
var open = []string{
	"/properties/global",
	"/properties/resources", "/properties/affinity", "/properties/podSecurityContext", "/properties/securityContext",
	"/properties/extraEnv/items", "/properties/tolerations/items", "/properties/topologySpreadConstraints/items",
	"/properties/gateway/properties/resources", "/properties/gateway/properties/tolerations/items",
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
