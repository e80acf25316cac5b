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
		if rule == nil || !rule.InForce || rule.Sealed == mesh.Seals(rule, stored) {
			return nil
		}
		return func(object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
			out, err := hop.RuleIntent(object)
			if err == nil && !rule.Sealed {
				err = hop.SealRuleIntent(out)
			}
			return out, err
		}
	}
	return &Rewrites{kind: "DestinationRule", controller: "rules", changes: stored.OnChange, of: concerning(stored.RulesOf), form: form}
}
