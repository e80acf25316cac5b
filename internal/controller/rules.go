package controller

import (
	"k8s.io/apimachinery/pkg/types"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/registry"
)

// StoredRules is what the controller of rules asks of the stored objects.
type StoredRules interface {
	StoredRule(name types.NamespacedName) *egress.Rule
	RuleForm(name types.NamespacedName) registry.Form
	RulesOf(host string) []types.NamespacedName
	OnChange(listener func(registry.Change))
}

// rules seals stored DestinationRules when the entry of their host comes, and unseals them when it goes.
func rules(stored StoredRules, synced func() bool) *Rewrites {
	return &Rewrites{kind: "DestinationRule", controller: "rules", synced: synced, changes: stored.OnChange, of: concerning(stored.RulesOf), form: stored.RuleForm}
}
