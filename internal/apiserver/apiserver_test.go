package apiserver_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/apiserver"
	"github.com/egress-governor/egress-governor/internal/review"
)

func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(text))
	require.NoError(t, err)
	out := &unstructured.Unstructured{}
	require.NoError(t, out.UnmarshalJSON(raw))
	return out
}

const entry = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: api, namespace: app}\n" +
	"spec: {hosts: [api.example.com], resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}"

// answers returns what a server says to an object that takes the place of another, or of none.
func answers(t *testing.T, of *apiserver.Server, text, old string) (*unstructured.Unstructured, error) {
	t.Helper()
	read, err := of.Read(object(t, text))
	if err != nil {
		return nil, err
	}
	var before *unstructured.Unstructured
	if old != "" {
		before = object(t, old)
	}
	_, err = of.Validate(t.Context(), read, before)
	return read, err
}

// TestEveryGovernedKindOfIstioIsKnown, in each of its versions; what is known compiles.
func TestEveryGovernedKindOfIstioIsKnown(t *testing.T) {
	t.Parallel()
	server := apiserver.New()
	for _, kind := range review.Kinds() {
		resource, _ := review.ResourceOf(kind)
		if !strings.HasSuffix(resource.Group, "istio.io") {
			continue
		}
		served := 0
		for _, version := range resource.Versions {
			_, err := answers(t, server, "apiVersion: "+resource.Group+"/"+version+"\nkind: "+kind+"\nmetadata: {name: a, namespace: b}\nspec: {none: such}", "")
			if err == nil {
				continue // Istio does not serve all that the webhook would understand
			}
			require.ErrorContains(t, err, `strict decoding error: unknown field "spec.none"`, "%s of version %s", kind, version)
			served++
		}
		assert.NotZero(t, served, kind)
	}
}

// TestTheAnswersAreTheAPIServers, in its words; test/integration holds many more to a real one.
func TestTheAnswersAreTheAPIServers(t *testing.T) {
	t.Parallel()
	policy := "apiVersion: egress-governor.io/v1alpha1\nkind: EgressPolicy\nmetadata: {name: p}\nspec: {policy: no-wildcards}"
	for name, row := range map[string]struct{ text, from, to, old, says string }{
		"as it is":       {text: entry},
		"an unknown one": {text: entry, from: "ports:", to: "port: 1, ports:", says: `ServiceEntry in version "v1" cannot be handled as a ServiceEntry: strict decoding error: unknown field "spec.port"`},
		"in metadata":    {text: entry, from: "namespace: app", to: "namespace: app, label: {}", says: `unknown field "metadata.label"`},
		"a wrong type":   {text: entry, from: "[api.example.com]", to: "api.example.com", says: `ServiceEntry.networking.istio.io "api" is invalid: [spec.hosts: Invalid value: "string": spec.hosts in body must be of type array`},
		"a wrong word":   {text: entry, from: "resolution: DNS", to: "resolution: dns", says: `spec.resolution: Unsupported value: "dns": supported values: `},
		"a rule":         {text: entry, from: "number: 443", to: "number: 0", says: "spec.ports[0].number: Invalid value: 0: port must be between 1-65535"},
		"a name":         {text: entry, from: "name: api", to: "name: Api", says: "metadata.name: Invalid value: \"Api\": a lowercase RFC 1123 subdomain"},
		"none required":  {text: entry, from: "hosts: [api.example.com],", to: "", says: "spec.hosts: Required value"},
		"replaced":       {text: entry, from: "number: 443", to: "number: 0", old: entry, says: "port must be between 1-65535"},
		"wrong before":   {text: entry, from: "number: 443", to: "number: 0", old: strings.ReplaceAll(entry, "number: 443", "number: 0")},
		"our own":        {text: policy, from: "policy: no-wildcards", to: "enforcement: Deny", says: `EgressPolicy.egress-governor.io "p" is invalid: spec: Invalid value: exactly one of policy and rego must be given`},
		"Kubernetes' own": {
			text: "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {replica: 1}", says: `Deployment in version "v1" cannot be handled as a Deployment: strict decoding error: unknown field "spec.replica"`,
		},
		"nobody's": {text: "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: a}\nany: thing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := answers(t, apiserver.New(), strings.ReplaceAll(row.text, row.from, row.to), row.old)
			if row.says == "" {
				require.NoError(t, err)
				return
			}
			require.Error(t, err)
			assert.Contains(t, err.Error(), row.says)
		})
	}
	read, err := answers(t, apiserver.New(), policy, "")
	require.NoError(t, err)
	enforcement, _, _ := unstructured.NestedString(read.Object, "spec", "enforcement")
	assert.Equal(t, "Deny", enforcement, "by default")
}

const thing = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: serviceentries.networking.istio.io}
spec:
  group: networking.istio.io
  scope: Namespaced
  names: {kind: ServiceEntry, plural: serviceentries}
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {hosts: {type: string}}}}}}}
  - {name: v1beta1, served: true, storage: false, deprecated: true, schema: {openAPIV3Schema: {type: object}}}
  - {name: v1alpha3, served: false, storage: false, schema: {openAPIV3Schema: {type: object}}}
`

// TestADefinitionTakesThePlaceOfOurs, in the copy that is given it alone.
func TestADefinitionTakesThePlaceOfOurs(t *testing.T) {
	t.Parallel()
	server := apiserver.New()
	own := server.Clone()
	require.NoError(t, own.Put(object(t, thing)))
	_, err := answers(t, own, entry, "")
	require.Error(t, err)
	assert.Contains(t, err.Error(), `unknown field "spec.ports"`)
	for _, of := range []*apiserver.Server{server, apiserver.New()} {
		_, err = answers(t, of, entry, "")
		require.NoError(t, err)
		assert.Empty(t, of.Deprecation(object(t, entry).GroupVersionKind()))
	}
	older := object(t, strings.ReplaceAll(entry, "/v1\n", "/v1beta1\n")).GroupVersionKind()
	assert.Equal(t, []string{"networking.istio.io/v1beta1 ServiceEntry is deprecated; use networking.istio.io/v1 ServiceEntry"}, own.Deprecation(older))
	assert.Error(t, own.Put(object(t, strings.ReplaceAll(thing, "scope: Namespaced", "scope: [a]"))))
}

// TestFinalizersAreWarnedOf where they are new.
func TestFinalizersAreWarnedOf(t *testing.T) {
	t.Parallel()
	held := object(t, entry)
	held.SetFinalizers([]string{"hold", "tenant.example", "tenant.example/hold"})
	warnings, err := apiserver.New().Validate(t.Context(), held, nil)
	require.NoError(t, err)
	assert.Len(t, warnings, 2)
	warnings, err = apiserver.New().Validate(t.Context(), held, held)
	require.NoError(t, err)
	assert.Empty(t, warnings)
}
