package main

import (
	"fmt"
	"os"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/egress-governor/egress-governor/internal/config"
	"github.com/egress-governor/egress-governor/internal/controller"
	"github.com/egress-governor/egress-governor/internal/opa"
	"github.com/egress-governor/egress-governor/internal/policy"
	"github.com/egress-governor/egress-governor/internal/record"
	"github.com/egress-governor/egress-governor/internal/review"
)

// setupOPA has bundles fetched and decisions logged, where the configuration says so.
func setupOPA(mgr ctrl.Manager, engine *policy.Engine, policies *controller.Policies, recorder *record.Recorder, said config.OPA) error {
	words, err := said.Words()
	if err != nil || words == nil {
		return err
	}
	of, err := opa.New(opa.Options{
		Configuration: words, Engine: engine, Changed: policies.BundleChanged, Metrics: metrics.Registry,
		Log: mgr.GetLogger().WithName("opa"), Console: os.Stdout,
	})
	if err != nil {
		return fmt.Errorf("configuration: opa: %w", err)
	}
	policies.UseBundles(of, mgr.GetEventRecorder("egress-governor"))
	if of.Logs() {
		recorder.TellDecisions(func(req review.Request, outcome *review.Outcome) { of.Decided(decision(req, outcome)) })
	}
	return mgr.Add(of)
}

// maxFindings is how many findings a logged decision has.
const maxFindings = 100

// decision is how a decision is logged.
func decision(req review.Request, outcome *review.Outcome) opa.Decision {
	findings := make([]any, 0, min(len(outcome.Findings), maxFindings))
	for _, finding := range outcome.Findings[:min(len(outcome.Findings), maxFindings)] {
		findings = append(findings, map[string]any{
			"policy": finding.Policy, "library": finding.Library, "code": finding.Code, "field": finding.Field,
			"message": finding.Message, "effect": string(finding.Effect),
		})
	}
	input := outcome.Input
	if input == nil {
		input = map[string]any{
			"operation": string(req.Operation), "kind": req.Object.GetKind(), "name": req.Name,
			"namespace": map[string]any{"name": req.Namespace.Name}, "user": map[string]any{"name": req.User.Name},
		}
	}
	return opa.Decision{
		ID: req.UID, Time: req.Time, Input: input,
		Result: map[string]any{
			"verdict": string(outcome.Verdict), "policies": outcome.Asked, "exempt": outcome.Exempt.Policies,
			"findings": findings, "findingsLeftOut": len(outcome.Findings) - len(findings),
		},
	}
}
