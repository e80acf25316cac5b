package controller

import (
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/egress-governor/egress-governor/internal/registry"
)

// StoredRules is what the controller of rules asks of the stored objects.
type StoredRules interface {
	RuleForm(name types.NamespacedName) registry.Form
	RulesOf(host string) []types.NamespacedName
	OnChange(listener func(registry.Change))
}

// SetupRules seals stored DestinationRules when the entry of their host comes, and unseals them when it goes.
func SetupRules(mgr ctrl.Manager, stored StoredRules) error {
	return rules(stored).setup(mgr)
}

func rules(stored StoredRules) *Rewrites {
	return &Rewrites{kind: "DestinationRule", controller: "rules", changes: stored.OnChange, of: concerning(stored.RulesOf), form: stored.RuleForm}
}
