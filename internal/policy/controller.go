package policy

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
)

// SetupWithManager keeps the engine's policies equal to the stored EgressPolicies, on every replica, and writes their
// status.
func (e *Engine) SetupWithManager(mgr ctrl.Manager) error {
	everywhere := false
	reconciler := &reconciler{engine: e, client: mgr.GetClient()}
	if err := ctrl.NewControllerManagedBy(mgr).Named("egresspolicy").
		For(&v1alpha1.EgressPolicy{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WithOptions(controller.Options{NeedLeaderElection: &everywhere}).
		Complete(reconciler); err != nil {
		return fmt.Errorf("egresspolicy controller: %w", err)
	}
	return mgr.Add(loader{engine: e, cache: mgr})
}

// loader puts every stored policy in force before the webhook reports ready.
type loader struct {
	engine *Engine
	cache  manager.Manager
}

// NeedLeaderElection implements manager.LeaderElectionRunnable: every replica judges.
func (loader) NeedLeaderElection() bool { return false }

// Start implements manager.Runnable.
func (l loader) Start(ctx context.Context) error {
	if !l.cache.GetCache().WaitForCacheSync(ctx) {
		return nil
	}
	var stored v1alpha1.EgressPolicyList
	if err := l.cache.GetClient().List(ctx, &stored); err != nil {
		return fmt.Errorf("list EgressPolicies: %w", err)
	}
	for i := range stored.Items {
		if err := l.engine.Set(&stored.Items[i]); err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "Stored policy is not in force", "policy", stored.Items[i].Name)
		}
	}
	l.engine.loaded.Store(true)
	return nil
}

type reconciler struct {
	engine *Engine
	client client.Client
}

// Reconcile puts a policy in force, or out of it, and says so in its status.
func (r *reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	policy := &v1alpha1.EgressPolicy{}
	if err := r.client.Get(ctx, req.NamespacedName, policy); err != nil {
		if apierrors.IsNotFound(err) {
			r.engine.Remove(req.Name)
			return ctrl.Result{}, nil
		}
		return ctrl.Result{}, err
	}
	condition := metav1.Condition{
		Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: "InForce", Message: "the policy is in force",
		ObservedGeneration: policy.Generation,
	}
	if err := r.engine.Set(policy); err != nil {
		condition.Status, condition.Reason, condition.Message = metav1.ConditionFalse, "Invalid", err.Error()
	}
	before := policy.DeepCopy()
	policy.Status.ObservedGeneration = policy.Generation
	meta.SetStatusCondition(&policy.Status.Conditions, condition)
	if equality.Semantic.DeepEqual(before.Status, policy.Status) {
		return ctrl.Result{}, nil
	}
	err := r.client.Status().Patch(ctx, policy, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	return ctrl.Result{}, client.IgnoreNotFound(err)
}
