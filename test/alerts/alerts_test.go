// Package alerts tests the chart's alerts and dashboard by Prometheus' own evaluation. It is a module of its own: the product needs no Prometheus.
package alerts

import (
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/rules"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const file = "../../charts/egress-governor/files/alerts.yaml"

// cases are series, one sample a minute for two hours, by which each alert fires, and by which it does not.
var cases = map[string]struct {
	fires, quiet []string
	// says is in the summary.
	says string
}{
	"EgressGovernorAbsent": {[]string{`up 1x120`}, []string{`egress_governor_exits{state="ready",pod="a"} 0x120`}, "No replica"},
	"EgressGovernorStopped": {
		[]string{`egress_governor_problem{code="admission-stopped",gateway="",pod="a"} 1x120`},
		[]string{`egress_governor_problem{code="gateway-without-pods",gateway="default",pod="a"} 1x120`}, "Somebody has stopped admission",
	},
	"EgressGovernorProblem": {
		[]string{`egress_governor_problem{code="gateway-without-pods",gateway="default",pod="a"} 1x120`}, []string{`egress_governor_exits{state="ready"} 1x120`},
		`gateway-without-pods: something around egress-governor keeps calls from egress gateway "default"`,
	},
	"EgressGovernorExitUnready": {
		[]string{`egress_governor_exit_unready_seconds{pod="leader"} 60+60x120`, `egress_governor_exit_unready_seconds{pod="other"} 0x120`},
		[]string{`egress_governor_exit_unready_seconds{pod="leader"} 200x120`}, "has not been ready for",
	},
	"EgressGovernorEvaluationFails": {
		[]string{`egress_governor_decisions_total{kind="ServiceEntry",operation="CREATE",verdict="failed"} 0+1x120`},
		[]string{`egress_governor_decisions_total{kind="ServiceEntry",operation="CREATE",verdict="denied"} 0+1x120`}, "cannot be evaluated",
	},
	"EgressGovernorSlow": {
		[]string{`egress_governor_request_duration_seconds_bucket{handler="validate",le="1"} 0+1x120`, `egress_governor_request_duration_seconds_bucket{handler="validate",le="2.5"} 0+10x120`, `egress_governor_request_duration_seconds_bucket{handler="validate",le="+Inf"} 0+10x120`},
		[]string{`egress_governor_request_duration_seconds_bucket{handler="validate",le="0.001"} 0+999x120`, `egress_governor_request_duration_seconds_bucket{handler="validate",le="1"} 0+1000x120`, `egress_governor_request_duration_seconds_bucket{handler="validate",le="+Inf"} 0+1000x120`}, "longer than a second",
	},
	"EgressGovernorCertificateEnds": {
		[]string{`egress_governor_certificate_expiry_timestamp_seconds{pod="a"} 500000x120`, `egress_governor_certificate_expiry_timestamp_seconds{pod="b"} 9000000x120`},
		[]string{`egress_governor_certificate_expiry_timestamp_seconds{pod="a"} 9000000x120`}, "certificate ends in 5d",
	},
	"EgressGovernorSuspensionHeld": {[]string{`egress_governor_suspend_held{policy="hosts"} 8x120`}, []string{`egress_governor_exits{state="ready"} 1x120`}, "EgressPolicy hosts would suspend 8 exits"},
	"EgressGovernorUnsealed":       {[]string{`egress_governor_unsealed_entries{pod="a"} 2x120`, `egress_governor_unsealed_entries{pod="b"} 0x120`}, []string{`egress_governor_unsealed_entries{pod="a"} 0x120`}, "2 entries"},
	"EgressGovernorPolicyNotInForce": {
		[]string{`egress_governor_policy_in_force{policy="hosts",pod="a"} 1x120`, `egress_governor_policy_in_force{policy="hosts",pod="b"} 0x120`},
		[]string{`egress_governor_policy_in_force{policy="hosts",pod="a"} 1x120`, `egress_governor_policy_in_force{policy="hosts",pod="b"} 1x120`},
		"EgressPolicy hosts is not in force as it is stored",
	},
	"EgressGovernorAuditOld": {
		[]string{`egress_governor_audit_age_seconds{pod="a"} 90000+60x120`, `egress_governor_audit_age_seconds{pod="b"} -1x120`},
		[]string{`egress_governor_audit_age_seconds{pod="a"} 0x120`, `egress_governor_audit_age_seconds{pod="b"} -1x120`}, "last judged 1d",
	},
}

// TestEachAlertFires by what it is about, after its time and not before, and not by what is as it should be; and a real webhook serves
// what it goes by.
func TestEachAlertFires(t *testing.T) {
	groups, errs := rulefmt.ParseFile(file, false)
	require.Empty(t, errs)
	seen, served := map[string]bool{}, read(t)
	for _, group := range groups.Groups {
		for _, rule := range group.Rules {
			seen[rule.Alert] = true
			t.Run(rule.Alert, func(t *testing.T) {
				of := cases[rule.Alert]
				require.NotEmpty(t, of.fires, "no case")
				fired := firing(t, rule, of.fires, 120)
				require.NotEmpty(t, fired)
				assert.Contains(t, fired[0].Annotations.Get("summary"), of.says)
				assert.GreaterOrEqual(t, time.Duration(rule.For), time.Minute, "what one reading says is not enough")
				assert.Empty(t, firing(t, rule, of.fires, int(fired[0].ActiveAt.Add(time.Duration(rule.For)).Unix()/60)), "it waits")
				assert.Empty(t, firing(t, rule, of.quiet, 120))
				expression, err := parser.ParseExpr(rule.Expr)
				require.NoError(t, err)
				assert.NoError(t, served.selects(t, expression))
			})
		}
	}
	assert.Len(t, seen, len(cases))
}

// firing returns the alerts of a rule that fire after minutes.
func firing(t *testing.T, of rulefmt.Rule, series []string, minutes int) (out []*rules.Alert) {
	t.Helper()
	storage := promqltest.LoadedStorage(t, "load 1m\n  "+strings.Join(series, "\n  ")+"\n")
	expression, err := parser.ParseExpr(of.Expr)
	require.NoError(t, err)
	rule := rules.NewAlertingRule(of.Alert, expression, time.Duration(of.For), 0, labels.FromMap(of.Labels), labels.FromMap(of.Annotations), labels.EmptyLabels(), "", true, slog.New(slog.DiscardHandler))
	engine := promqltest.NewTestEngine(t, false, 0, promqltest.DefaultMaxSamplesPerQuery)
	for minute := range minutes {
		_, err := rule.Eval(t.Context(), 0, time.Unix(int64(minute)*60, 0), rules.EngineQueryFunc(engine, storage), nil, 0)
		require.NoError(t, err)
	}
	for _, alert := range rule.ActiveAlerts() {
		if alert.State == rules.StateFiring {
			out = append(out, alert)
		}
	}
	return out
}

// TestEachAlertHasARunbook.
func TestEachAlertHasARunbook(t *testing.T) {
	groups, errs := rulefmt.ParseFile(file, false)
	require.Empty(t, errs)
	raw, err := os.ReadFile("../../docs/runbooks.md")
	require.NoError(t, err)
	for _, group := range groups.Groups {
		for _, rule := range group.Rules {
			assert.Contains(t, string(raw), "\n## "+rule.Alert+"\n")
		}
	}
	assert.Equal(t, len(cases), strings.Count(string(raw), "\n## EgressGovernor"), "a runbook of no alert")
}
