package main

import (
	"errors"
	"fmt"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/client-go/discovery"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/config"
	"github.com/egress-governor/egress-governor/internal/controller"
	"github.com/egress-governor/egress-governor/internal/policy"
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
	if out, err = controller.SetupPolicies(mgr, engine, standards, rules.Changed); err != nil {
		return nil, err
	}
	return out, errors.Join(mgr.Add(rules), mgr.Add(&controller.Baseline{Policies: standards, Client: mgr.GetClient()}))
}

// requireGateway would deny every entry where none is carried to a gateway.
const requireGateway = "require-egress-gateway"

func baseline(configuration *config.Configuration) policy.Baseline {
	said := configuration.Baseline
	out := policy.Baseline{Enforcement: v1alpha1.Enforcement(said.Enforcement), Policies: map[string]policy.BaselinePolicy{}}
	if len(said.NamespaceSelector.MatchLabels)+len(said.NamespaceSelector.MatchExpressions) > 0 {
		out.NamespaceSelector = &said.NamespaceSelector
	}
	for name, of := range said.Policies {
		one := policy.BaselinePolicy{Enforcement: v1alpha1.Enforcement(of.Enforcement)}
		if of.Parameters != nil {
			one.Parameters = &apiextensionsv1.JSON{Raw: of.Parameters}
		}
		out.Policies[name] = one
	}
	if of := out.Policies[requireGateway]; configuration.ServiceEntries == "Leave" && configuration.VirtualServices == "Leave" && of.Enforcement == "" {
		of.Enforcement = policy.Off
		out.Policies[requireGateway] = of
	}
	if of := out.Policies[workloadEntries]; of.Parameters == nil {
		of.Parameters = &apiextensionsv1.JSON{Raw: fmt.Appendf(nil, `{"groups": ["system:serviceaccounts:%s"]}`, configuration.MeshConfig.Namespace)}
		out.Policies[workloadEntries] = of
	}
	return out
}

// workloadEntries lets istiod pass, which writes those of virtual machines that register themselves.
const workloadEntries = "workload-entries"

// resource is how the API server knows a kind that it sends only while a policy asks for it.
func resource(kind v1alpha1.Kind) (group string, versions []string, asked bool) {
	out, _ := review.ResourceOf(string(kind))
	return out.Group, out.Versions, out.Asked
}
