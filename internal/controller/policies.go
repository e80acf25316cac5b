package controller

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
)

// Engine holds the policies in force.
type Engine interface {
	// Check says what is wrong with a policy.
	Check(policy *v1alpha1.EgressPolicy) error
	// Unread says what of a policy its author may not have meant.
	Unread(policy *v1alpha1.EgressPolicy) []string
	// Set puts a policy in force; on error the last good version stays.
	Set(policy *v1alpha1.EgressPolicy) error
	// Remove takes one out of force.
	Remove(name string)
}

// Policies keeps an engine's policies equal to the stored EgressPolicies, on every replica, and writes their status.
type Policies struct {
	engine Engine
	// baseline is in force as the configuration has it, whatever is stored under its names.
	baseline map[string]*v1alpha1.EgressPolicy
	// changed is told of every change, enforcing once another version of a policy is in force, or none.
	changed, enforcing func()
	client             client.Client
	// live reads past any cache; namespace has the ConfigMaps with shared parameters.
	live      client.Reader
	namespace string
	cache     manager.Manager
	loaded    atomic.Bool
	// bundles are nil for none; events tells of those that did not come.
	bundles Bundles
	events  events.EventRecorder
	// bundleChanged is told of a bundle that came, nil before the controller begins.
	bundleChanged atomic.Pointer[func(bundle string)]
	waker[ctrl.Request]

	// following are at work on a policy, from the reading of what is stored until that is in force: what was read first is never what stays.
	following oneByName

	mu sync.Mutex
	// inForce has the versions that the engine was given.
	inForce map[string]string
	states  policyStates
}

// States tell of each stored policy whether it is in force.
func (p *Policies) States() prometheus.Collector { return &p.states }

// OnChange calls back once another version of a policy is in force, or none. Call it before the manager starts.
func (p *Policies) OnChange(enforcing func()) { p.enforcing = enforcing }

// enforced notes the version that is in force, empty for none.
func (p *Policies) enforced(name, version string) {
	p.mu.Lock()
	if p.inForce == nil {
		p.inForce = map[string]string{}
	}
	last := p.inForce[name]
	if delete(p.inForce, name); version != "" {
		p.inForce[name] = version
	}
	p.mu.Unlock()
	if last != version && p.enforcing != nil && p.Loaded() {
		p.enforcing()
	}
}

// SetupPolicies runs the controller of policies, with those of a baseline; changed is told of every change. Shared parameters
// are in ConfigMaps of a namespace.
func SetupPolicies(mgr ctrl.Manager, engine Engine, baseline []*v1alpha1.EgressPolicy, namespace string, changed func()) (*Policies, error) {
	everywhere := false
	out := &Policies{
		engine: engine, baseline: map[string]*v1alpha1.EgressPolicy{}, changed: changed, client: mgr.GetClient(), cache: mgr,
		live: mgr.GetAPIReader(), namespace: namespace,
	}
	for _, policy := range baseline {
		out.baseline[policy.Name] = policy
	}
	if err := ctrl.NewControllerManagedBy(mgr).Named("egresspolicy").
		For(&v1alpha1.EgressPolicy{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&corev1.ConfigMap{}, handler.EnqueueRequestsFromMapFunc(out.sharing)).
		WatchesRawSource(source.Func(out.start)).
		WithOptions(controller.Options{NeedLeaderElection: &everywhere}).
		Complete(out); err != nil {
		return nil, fmt.Errorf("egresspolicy controller: %w", err)
	}
	return out, mgr.Add(loader{out})
}

// Loaded says whether the policies stored before start are in force.
func (p *Policies) Loaded() bool { return p.loaded.Load() }

// follow puts what is stored under a name in force, or nothing where that is gone. It returns the policy, nil for none, and what is wrong
// with it.
func (p *Policies) follow(ctx context.Context, name string) (policy *v1alpha1.EgressPolicy, wrong, err error) {
	defer p.following.begin(name)()
	policy = &v1alpha1.EgressPolicy{}
	err = p.client.Get(ctx, types.NamespacedName{Name: name}, policy)
	if apierrors.IsNotFound(err) {
		p.remove(name)
		p.states.forget(name)
		p.enforced(name, "")
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	version, wrong := p.set(ctx, policy)
	p.enforced(name, version)
	return policy, wrong, nil
}

// errOtherBaseline is that of a policy of another version's baseline.
var errOtherBaseline = errors.New("a policy of another version's baseline, which this version does not evaluate; delete it where no release of that version is left")

// set puts a stored policy in force, and returns in which version. One of the baseline is, as the configuration has it; one of
// another version's baseline is for that version's replicas.
func (p *Policies) set(ctx context.Context, policy *v1alpha1.EgressPolicy) (version string, err error) {
	_, pinned := p.baseline[policy.Name]
	if !pinned && ofBaseline(policy) {
		return "", errOtherBaseline
	}
	version = fmt.Sprint(policy.Generation)
	if !pinned {
		version, err = p.enforce(ctx, policy)
	}
	p.states.set(policy, err)
	return version, err
}

// remove takes a policy that is not stored any more out of force, unless it is of the baseline.
func (p *Policies) remove(name string) {
	if _, pinned := p.baseline[name]; !pinned {
		p.engine.Remove(name)
	}
}

// Reconcile puts a policy in force, or out of it, and says so in its status.
func (p *Policies) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	if p.changed != nil {
		defer p.changed()
	}
	policy, wrong, err := p.follow(ctx, req.Name)
	if policy == nil {
		return ctrl.Result{}, err
	}
	condition := metav1.Condition{
		Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: "InForce",
		Message:            strings.Join(append([]string{"the policy is in force"}, p.warnings(policy)...), v1alpha1.Beware),
		ObservedGeneration: policy.Generation,
	}
	if err = p.bundleProblem(policy, wrong); err != nil {
		condition.Status, condition.Reason, condition.Message = metav1.ConditionFalse, unfit(err), err.Error()
	}
	before := policy.DeepCopy()
	policy.Status.ObservedGeneration = policy.Generation
	meta.SetStatusCondition(&policy.Status.Conditions, condition)
	policy.Answers("") // of an earlier generation
	if equality.Semantic.DeepEqual(before.Status, policy.Status) {
		return ctrl.Result{}, nil
	}
	err = p.client.Status().Patch(ctx, policy, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	if err == nil {
		p.tell(policy, condition.Reason, condition.Message)
	}
	return ctrl.Result{}, client.IgnoreNotFound(err)
}

// warnings are what the author of a policy may not have meant.
func (p *Policies) warnings(policy *v1alpha1.EgressPolicy) []string {
	return append(policy.Spec.Warnings(), p.engine.Unread(policy)...)
}
