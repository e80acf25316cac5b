package config

import (
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/policy"
)

// requireGateway would deny every entry where none is carried to a gateway.
const requireGateway = "require-egress-gateway"

// Standards returns the baseline as the policy engine takes it.
func (c *Configuration) Standards() policy.Baseline {
	said := c.Baseline
	out := policy.Baseline{Enforcement: v1alpha1.Enforcement(said.Enforcement), Policies: map[string]policy.BaselinePolicy{}}
	if len(said.NamespaceSelector.MatchLabels)+len(said.NamespaceSelector.MatchExpressions) > 0 {
		out.NamespaceSelector = &said.NamespaceSelector
	}
	for name, of := range said.Policies {
		one := policy.BaselinePolicy{Enforcement: v1alpha1.Enforcement(of.Enforcement), NamespaceSelector: of.NamespaceSelector}
		if of.Parameters != nil {
			one.Parameters = &apiextensionsv1.JSON{Raw: of.Parameters}
		}
		out.Policies[name] = one
	}
	if of := out.Policies[requireGateway]; c.ServiceEntries == "Leave" && c.VirtualServices == "Leave" && of.Enforcement == "" {
		of.Enforcement = policy.Off
		out.Policies[requireGateway] = of
	}
	return out
}
