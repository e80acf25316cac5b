package dryrun_test

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/apiserver"
	"github.com/egress-governor/egress-governor/internal/chart"
	"github.com/egress-governor/egress-governor/internal/config"
	"github.com/egress-governor/egress-governor/internal/dryrun"
	"github.com/egress-governor/egress-governor/internal/policy"
	"github.com/egress-governor/egress-governor/internal/review"
)

// server has the guards of the chart; what is compiled of it is compiled once.
var server = sync.OnceValues(func() (*apiserver.Server, error) {
	configuration, err := config.Installed()
	if err != nil {
		return nil, err
	}
	guards, err := chart.Guards(configuration, "")
	out := apiserver.New()
	for _, guard := range guards {
		err = errors.Join(err, out.Put(guard))
	}
	return out, err
})

var standards = sync.OnceValues(func() (*policy.Engine, error) {
	configuration, err := config.Installed()
	if err != nil {
		return nil, err
	}
	return dryrun.Standards(configuration)
})

// served is a session in which the API server itself answers, too.
func served(t *testing.T) *dryrun.Session {
	t.Helper()
	guarded, err := server()
	require.NoError(t, err)
	engine, err := standards()
	require.NoError(t, err)
	return session(t, func(o *dryrun.Options) { o.Server, o.Standards = guarded, engine })
}

const workload = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: app}\n" +
	"spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {hostNetwork: true, containers: [{name: app, image: app}]}}}"

// TestWhoSpeaksFirst is as in the API server: it reads, the webhook rewrites, kind and guards are asked, and the webhook judges.
func TestWhoSpeaksFirst(t *testing.T) {
	t.Parallel()
	change := func(text string, pairs ...string) string { return strings.NewReplacer(pairs...).Replace(text) }
	for name, row := range map[string]struct {
		applied    []string
		verdict    review.Verdict
		code, at   string
		policy     string
		says, fix  string
		warnings   int
		unanswered bool
	}{
		"unknown and refused":   {applied: []string{change(entry, "resolution: DNS", "resolution: DYNAMIC_DNS, more: 1")}, verdict: review.Refused, code: "unknown-field", policy: "API server", at: "spec.more", says: "strict decoding error: unknown field \"spec.more\""},
		"refused and invalid":   {applied: []string{change(entry, "resolution: DNS", "resolution: dns")}, verdict: review.Refused, code: "resolution", at: "spec.resolution", says: "egress-governor: spec.resolution"},
		"invalid and denied":    {applied: []string{labelled, deny, change(entry, "number: 443", "number: 0")}, verdict: review.Refused, code: "invalid", policy: "API server", at: "spec.ports[0].number", says: `ServiceEntry.networking.istio.io "api" is invalid: spec.ports[0].number: `},
		"denied":                {applied: []string{labelled, deny, entry}, verdict: review.Denied, code: "host-not-allowed", says: "hosts: spec.hosts[0]", at: "spec.hosts[0]", policy: "hosts"},
		"unreadable":            {applied: []string{"apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: app}\nspec: {ports: 1}"}, verdict: review.Refused, code: "unreadable", policy: "API server", says: `Service in version "v1" cannot be handled as a Service: json: cannot unmarshal`},
		"an invalid policy":     {applied: []string{change(deny, "parameters", "enforcement: Never, parameters")}, verdict: review.Refused, code: "invalid", policy: "API server", at: "spec.enforcement", says: `EgressPolicy.egress-governor.io "hosts" is invalid: `},
		"a policy of no use":    {applied: []string{change(deny, "allowed-hosts", "allowed-host")}, verdict: review.Refused, code: "unfit-policy", says: `EgressPolicy "hosts": spec.policy`},
		"a guard":               {applied: []string{change(labelled, "team: app", "istio-injection: enabled"), workload}, verdict: review.Denied, code: "guard", policy: "egress-governor-host-network", at: "spec.template.spec.hostNetwork", says: `deployments.apps "web" is forbidden`, fix: "remove it; or ask"},
		"a guard of namespaces": {applied: []string{change(labelled, "team: app", "istio-injection: disabled")}, verdict: review.Denied, says: `namespaces "app" is forbidden`, code: "guard", policy: "egress-governor-namespace-labels", at: "metadata.labels[istio-injection]", fix: "leave it as it is"},
		"a harmless Deployment": {applied: []string{labelled, workload}, unanswered: true},
		"a kind among the manifests": {applied: []string{"apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: a, namespace: app}\nspec: {size: large}", strings.TrimSpace(`
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.com}
spec: {group: example.com, scope: Namespaced, names: {kind: Thing, plural: things}, versions: [{name: v1, served: true, storage: true,
  schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {size: {type: integer}}}}}}}]}`)}, code: "invalid", policy: "API server", verdict: review.Refused, at: "spec.size", says: `Thing.example.com "a" is invalid: spec.size: `},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answers, err := served(t).Apply(t.Context(), objects(t, row.applied...), func() {})
			require.NoError(t, err)
			answer := answers[len(answers)-1]
			if name == "a kind among the manifests" {
				answer = answers[0]
			}
			assert.Equal(t, row.verdict, answer.Verdict)
			assert.Contains(t, answer.Message, row.says)
			assert.Len(t, answer.Warnings, row.warnings)
			if row.code == "" {
				assert.Empty(t, answer.Findings)
				return
			}
			require.NotEmpty(t, answer.Findings)
			finding := answer.Findings[0]
			assert.Equal(t, []string{row.code, row.at, row.policy}, []string{finding.Code, finding.Field, finding.Policy})
			assert.Contains(t, finding.Fix, row.fix)
			assert.Equal(t, !row.unanswered, !answer.Allowed())
		})
	}
}

// TestAKindThatItsGroupHasNotIsAnError, and one of a group of which nothing is known is nobody's business.
func TestAKindThatItsGroupHasNotIsAnError(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"apiVersion: networking.istio.io/v1\nkind: ServicEntry", "apiVersion: telemetry.istio.io/v9\nkind: Telemetry", "apiVersion: egress-governor.io/v1alpha1\nkind: EgressPolic", "apiVersion: egress-governor.io/v1\nkind: EgressPolicy"} {
		_, err := served(t).Apply(t.Context(), objects(t, text+"\nmetadata: {name: a, namespace: app}\n"), func() {})
		require.ErrorContains(t, err, "no matches for kind", text)
	}
	_, err := served(t).Apply(t.Context(), objects(t, "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: a, namespace: app}\n"), func() {})
	assert.NoError(t, err)
}

// TestWhatTheServerRefusesIsNotThere for what comes after it, and neither is a policy in force.
func TestWhatTheServerRefusesIsNotThere(t *testing.T) {
	t.Parallel()
	of := served(t)
	answers, err := of.Apply(t.Context(), objects(t, labelled, strings.ReplaceAll(deny, "parameters:", "more: 1, parameters:"), entry), func() {})
	require.NoError(t, err)
	assert.Equal(t, review.Refused, answers[1].Verdict)
	assert.Equal(t, review.Allowed, answers[2].Verdict)
	require.ErrorContains(t, of.Enforce(objects(t, strings.ReplaceAll(deny, "parameters:", "more: 1, parameters:"))...), `x.yaml:1: EgressPolicy hosts: EgressPolicy in version "v1alpha1" cannot be handled as a EgressPolicy: strict decoding error: unknown field "spec.more"`)
	require.ErrorContains(t, of.Enforce(objects(t, strings.ReplaceAll(deny, "parameters:", "enforcement: deny, parameters:"))...), "spec.enforcement: Unsupported value")
}
