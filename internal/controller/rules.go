package controller

import (
	"context"
	"reflect"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

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

// Rules keeps stored DestinationRules in the form that their hosts ask for. The webhook stores a rule in the form of the
// moment; the entry of its host may come later, or go. Only the leader runs it.
type Rules struct {
	mesh   *egress.Mesh
	stored StoredRules
	live   client.Reader
	writer client.Writer
}

// SetupRules runs the controller.
func SetupRules(mgr ctrl.Manager, mesh *egress.Mesh, stored StoredRules) error {
	rules := &Rules{mesh: mesh, stored: stored, live: mgr.GetAPIReader(), writer: mgr.GetClient()}
	c, err := controller.NewTyped("rules", mgr, fairly(controller.TypedOptions[types.NamespacedName]{Reconciler: rules}, namespaceOf))
	if err != nil {
		return err
	}
	return c.Watch(source.TypedFunc[types.NamespacedName](rules.follow))
}

// follow enqueues the rules of hosts whose entries or rules are there, come, change and go.
func (r *Rules) follow(_ context.Context, queue workqueue.TypedRateLimitingInterface[types.NamespacedName]) error {
	r.stored.OnChange(func(change registry.Change) {
		for _, host := range change.Hosts {
			for _, name := range r.stored.RulesOf(host) {
				queue.Add(name)
			}
		}
	})
	return nil
}

// Reconcile implements reconcile.TypedReconciler.
func (r *Rules) Reconcile(ctx context.Context, name types.NamespacedName) (reconcile.Result, error) {
	rule := r.stored.StoredRule(name)
	if rule == nil || !rule.InForce || rule.Sealed == r.mesh.Seals(rule, r.stored) {
		return reconcile.Result{}, nil
	}
	object := empty(schema.GroupVersionKind{Group: "networking.istio.io", Version: "v1", Kind: "DestinationRule"})
	if err := r.live.Get(ctx, name, object); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	want, err := hop.RuleIntent(object)
	if err == nil && !rule.Sealed {
		err = hop.SealRuleIntent(want)
	}
	if err != nil || reflect.DeepEqual(want.Object, object.Object) {
		return reconcile.Result{}, err
	}
	tell(ctx, map[bool]string{true: "Unsealed", false: "Sealed"}[rule.Sealed], want)
	return reconcile.Result{}, client.IgnoreNotFound(r.writer.Update(ctx, want))
}
