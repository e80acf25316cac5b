package main

import (
	"errors"
	"fmt"

	"k8s.io/client-go/discovery"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/controller"
	"github.com/egress-governor/egress-governor/internal/policy"
	"github.com/egress-governor/egress-governor/internal/record"
	"github.com/egress-governor/egress-governor/internal/review"
)

// setupPolicies puts the baseline and what is stored in force, and has the API server send what they ask for.
func setupPolicies(mgr ctrl.Manager, engine *policy.Engine, said policy.Baseline, o options) (*controller.Policies, error) {
	standards, err := engine.Baseline(said)
	if err != nil {
		return nil, fmt.Errorf("configuration: baseline: %w", err)
	}
	served, err := discovery.NewDiscoveryClientForConfigAndClient(mgr.GetConfig(), mgr.GetHTTPClient())
	if err != nil {
		return nil, fmt.Errorf("discovery: %w", err)
	}
	var out *controller.Policies
	rules := controller.NewWebhookRules(controller.WebhookRules{
		Kinds: engine.Kinds, Loaded: func() bool { return out.Loaded() }, Resource: resource, Served: served, Live: mgr.GetAPIReader(), Writer: mgr.GetClient(), Configuration: o.webhookConfiguration,
	})
	if out, err = controller.SetupPolicies(mgr, engine, standards, o.namespace, rules.Changed); err != nil {
		return nil, err
	}
	return out, errors.Join(metrics.Registry.Register(out.States()), mgr.Add(rules), mgr.Add(&controller.Baseline{Policies: standards, Client: mgr.GetClient()}))
}

// resource is how the API server knows a kind that it sends only while a policy asks for it.
func resource(kind v1alpha1.Kind) (group string, versions []string, asked bool) {
	out, _ := review.ResourceOf(string(kind))
	return out.Group, out.Versions, out.Asked
}

// counting has a tally count what policies said of requests.
func counting(tally *controller.Tally) func(policy string, said record.Said) {
	return func(policy string, said record.Said) {
		one := func(is bool) int64 {
			if is {
				return 1
			}
			return 0
		}
		counted := v1alpha1.Requests{Judged: 1, Failed: one(said.Failure != "")}
		if said.Failure == "" {
			counted.Audited, counted.Warned, counted.Denied = one(said.Effects[review.Audited]), one(said.Effects[review.Warned]), one(said.Effects[review.Denied])
		}
		tally.Count(policy, counted, said.Failure)
	}
}
