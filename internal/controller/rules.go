package controller

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/internal/registry"
)

// StoredRules is what the controller of rules asks of the stored objects.
type StoredRules interface {
	egress.View
	StoredRule(name types.NamespacedName) *egress.Rule
	RulesOf(host string) []types.NamespacedName
	OnChange(listener func(registry.Change))
}

// SetupRules seals stored DestinationRules when the entry of their host comes, and unseals them when it goes.
func SetupRules(mgr ctrl.Manager, mesh *egress.Mesh, stored StoredRules) error {
	return rules(mesh, stored).setup(mgr)
}

func rules(mesh *egress.Mesh, stored StoredRules) *Rewrites {
	form := func(name types.NamespacedName) func(*unstructured.Unstructured) (*unstructured.Unstructured, error) {
		rule := stored.StoredRule(name)
		if rule == nil {
			return nil
		}
		serving, seals := mesh.Governing(rule, stored), mesh.Seals(rule, stored)
		// What a rule by mutual TLS holds follows the ports of its host; any other is sealed or not.
		follows := serving != nil && serving.Transport == egress.MutualTLS && rule.HasPolicy() || rule.ByMutualTLS
		if !follows && (!rule.InForce || rule.Sealed == seals) {
			return nil
		}
		return func(object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
			out, err := hop.RuleIntent(object)
			if err == nil && seals {
				err = hop.SealRuleIntent(out, serving, mesh, stored)
			}
			return out, err
		}
	}
	return &Rewrites{kind: "DestinationRule", controller: "rules", changes: stored.OnChange, of: concerning(stored.RulesOf), form: form}
}
