package record_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/record"
	"github.com/egress-governor/egress-governor/internal/review"
)

// TestACodeReachesTheMetricAndTheLog, and a dry run neither.
func TestACodeReachesTheMetricAndTheLog(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	recorder, err := record.New(registry)
	require.NoError(t, err)
	var logged []string
	logger := funcr.New(func(_, args string) { logged = append(logged, args) }, funcr.Options{})
	ctx := logr.NewContext(t.Context(), logger)
	object := &unstructured.Unstructured{}
	object.SetKind("ServiceEntry")
	req := review.Request{Operation: review.Create, Object: object, Name: "x", Namespace: review.Namespace{Name: "payments"}}
	outcome := &review.Outcome{Verdict: review.Refused, Findings: []review.Finding{
		{Finding: egress.Finding{Code: "raw-protocol", Field: "spec.ports[0]"}, Effect: review.Refused},
		{Finding: egress.Finding{Code: "host-not-allowed", Message: "no"}, Effect: review.Audited, Policy: "hosts", Library: "allowed-hosts"},
	}}
	recorder.Record(ctx, req, outcome)
	req.DryRun = true
	recorder.Record(ctx, req, outcome)

	families, err := registry.Gather()
	require.NoError(t, err)
	got := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			key := family.GetName()
			for _, label := range metric.GetLabel() {
				key += " " + label.GetName() + "=" + label.GetValue()
			}
			got[key] = metric.GetCounter().GetValue()
		}
	}
	assert.Equal(t, map[string]float64{
		"egress_governor_decisions_total kind=ServiceEntry operation=CREATE verdict=refused": 1,
		"egress_governor_violations_total code=raw-protocol effect=refused policy=":          1,
		"egress_governor_violations_total code=host-not-allowed effect=audited policy=hosts": 1,
	}, got)
	require.Len(t, logged, 2)
	for _, part := range []string{`"verdict"="refused"`, `"operation"="CREATE"`, `"reasons"=["raw-protocol at spec.ports[0]"]`} {
		assert.Contains(t, logged[0], part)
	}
	for _, part := range []string{`"code"="host-not-allowed"`, `"policy"="hosts"`, `"kind"="ServiceEntry"`} {
		assert.Contains(t, logged[1], part)
	}
	problems, err := testutil.GatherAndLint(registry)
	require.NoError(t, err)
	assert.Empty(t, problems)
	_, err = record.New(registry)
	require.ErrorContains(t, err, "register metrics")
}

// TestTheLogIsBounded: an object's author decides how much is wrong with it, and not how much is logged.
func TestTheLogIsBounded(t *testing.T) {
	t.Parallel()
	recorder, err := record.New(nil)
	require.NoError(t, err)
	var logged []string
	ctx := logr.NewContext(t.Context(), funcr.New(func(_, args string) { logged = append(logged, args) }, funcr.Options{}))
	outcome := &review.Outcome{Verdict: review.Allowed}
	for range 1000 {
		outcome.Findings = append(outcome.Findings, review.Finding{Effect: review.Audited})
	}
	recorder.Record(ctx, review.Request{Object: &unstructured.Unstructured{}}, outcome)
	require.Len(t, logged, 21)
	assert.Contains(t, logged[20], `"count"=980`)

	logged = nil
	refused := &review.Outcome{Verdict: review.Denied}
	for range 1000 {
		refused.Findings = append(refused.Findings, review.Finding{Finding: egress.Finding{Code: "no"}, Effect: review.Denied, Policy: "hosts"})
	}
	recorder.Record(ctx, review.Request{Object: &unstructured.Unstructured{}}, refused)
	require.Len(t, logged, 1)
	assert.Equal(t, 20, strings.Count(logged[0], `"no by hosts"`))
}

// TestAPolicysCodesAreBounded: its Rego may take them from objects. Another's, and those that no policy gave, are counted each.
func TestAPolicysCodesAreBounded(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	recorder, err := record.New(registry)
	require.NoError(t, err)
	said := func(policy, code string) {
		outcome := &review.Outcome{Findings: []review.Finding{{Finding: egress.Finding{Code: code}, Effect: review.Denied, Policy: policy}}}
		recorder.Record(t.Context(), review.Request{Object: &unstructured.Unstructured{}}, outcome)
	}
	for i := range 5000 {
		said("open", strconv.Itoa(i))
	}
	said("open", "0")
	said("other", "5000")
	for i := range 100 {
		said("", strconv.Itoa(i))
	}
	families, err := registry.Gather()
	require.NoError(t, err)
	counted := map[string]map[string]float64{}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			labels := map[string]string{}
			for _, label := range metric.GetLabel() {
				labels[label.GetName()] = label.GetValue()
			}
			if family.GetName() == "egress_governor_violations_total" {
				if counted[labels["policy"]] == nil {
					counted[labels["policy"]] = map[string]float64{}
				}
				counted[labels["policy"]][labels["code"]] = metric.GetCounter().GetValue()
			}
		}
	}
	assert.Len(t, counted["open"], 51)
	assert.InDelta(t, 4950, counted["open"]["other"], 0)
	assert.InDelta(t, 2, counted["open"]["0"], 0)
	assert.Len(t, counted["other"], 1)
	assert.Len(t, counted[""], 100)
}

// TestEveryPolicyThatWasAskedIsToldOf, with what it said; a dry run of none.
func TestEveryPolicyThatWasAskedIsToldOf(t *testing.T) {
	t.Parallel()
	recorder, err := record.New(nil)
	require.NoError(t, err)
	told := map[string]record.Said{}
	recorder.Tell(func(policy string, said record.Said) { told[policy] = said })
	finding := func(policy string, effect review.Effect) review.Finding {
		return review.Finding{Policy: policy, Effect: effect, Finding: egress.Finding{Message: "no"}}
	}
	outcome := &review.Outcome{Verdict: review.Denied, Asked: []string{"a", "b", "quiet", "warns"}, Findings: []review.Finding{
		finding("a", review.Denied), finding("a", review.Denied), finding("b", review.Failed), finding("", review.Refused), finding("a", review.Warned),
		{Policy: "warns", Effect: review.Warned, Finding: egress.Finding{Code: "evaluation-failed", Message: "it took long"}},
	}}
	request := review.Request{Object: &unstructured.Unstructured{Object: map[string]any{"kind": "ServiceEntry"}}, DryRun: true}
	recorder.Record(t.Context(), request, outcome)
	assert.Empty(t, told)
	request.DryRun = false
	recorder.Record(t.Context(), request, outcome)
	assert.Equal(t, map[string]record.Said{
		"a": {Effects: map[review.Effect]bool{review.Denied: true, review.Warned: true}}, "b": {map[review.Effect]bool{review.Failed: true}, "no"},
		"quiet": {}, "warns": {map[review.Effect]bool{review.Warned: true}, "it took long"},
	}, told)
}
