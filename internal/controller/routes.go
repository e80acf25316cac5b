package controller

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/internal/registry"
)

// StoredRoutes is what the controller of routes asks of the stored objects.
type StoredRoutes interface {
	egress.View
	LeadingTo(host string) []types.NamespacedName
	OnChange(listener func(registry.Change))
}

// SetupRoutes injects stored VirtualServices that came before the entries of the hosts they lead to, where they are
// injected at all.
func SetupRoutes(mgr ctrl.Manager, mesh *egress.Mesh, stored StoredRoutes) error {
	if !mesh.Inject {
		return nil
	}
	return routes(mesh, stored).setup(mgr)
}

func routes(mesh *egress.Mesh, stored StoredRoutes) *Rewrites {
	form := func(name types.NamespacedName) func(*unstructured.Unstructured) (*unstructured.Unstructured, error) {
		gw, leaves := mesh.GatewayByName(stored.GatewayOf(name.Namespace))
		if !leaves {
			return nil
		}
		return func(object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
			return hop.Inject(object, gw, mesh, stored)
		}
	}
	leading := concerning(stored.LeadingTo)
	of := func(change registry.Change) []types.NamespacedName { return append(leading(change), change.Routes...) }
	return &Rewrites{kind: "VirtualService", controller: "routes", changes: stored.OnChange, of: of, form: form}
}
