package controller

import (
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/registry"
)

// StoredRoutes is what the controller of routes asks of the stored objects.
type StoredRoutes interface {
	RouteForm(name types.NamespacedName) registry.Form
	LeadingTo(host string) []types.NamespacedName
	OnChange(listener func(registry.Change))
}

// SetupRoutes injects stored VirtualServices that came before the entries of the hosts they lead to, where they are
// injected at all. synced says that the entries stored at start are known.
func SetupRoutes(mgr ctrl.Manager, mesh *egress.Mesh, stored StoredRoutes, synced func() bool) error {
	if !mesh.Inject {
		return nil
	}
	return routes(stored, synced).setup(mgr)
}

func routes(stored StoredRoutes, synced func() bool) *Rewrites {
	leading := concerning(stored.LeadingTo)
	of := func(change registry.Change) []types.NamespacedName { return append(leading(change), change.Routes...) }
	return &Rewrites{kind: "VirtualService", controller: "routes", synced: synced, changes: stored.OnChange, of: of, form: stored.RouteForm}
}
