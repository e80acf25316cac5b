package controller

import (
	"context"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
)

// Bundles are those whose policies EgressPolicies may use.
type Bundles interface {
	// Wait returns once each was asked for, or that took too long.
	Wait(ctx context.Context)
	// Version tells a bundle that is in force from others, empty where none is.
	Version(bundle string) string
	// Problem is why a bundle did not come when it was asked for last, nil where it did.
	Problem(bundle string) error
}

// UseBundles has policies use those of bundles, and what is wrong with these told by Events. Call it before the manager starts.
func (p *Policies) UseBundles(bundles Bundles, recorder events.EventRecorder) {
	p.bundles, p.events = bundles, recorder
}

// BundleChanged has the policies that use a bundle put in force again, and these alone. Before the controller begins nobody needs to be
// told: it puts all in force then.
func (p *Policies) BundleChanged(bundle string) {
	if tell := p.bundleChanged.Load(); tell != nil {
		(*tell)(bundle)
	}
}

// followBundles enqueues the policies of bundles that change from now on.
func (p *Policies) followBundles(ctx context.Context, queue workqueue.TypedRateLimitingInterface[ctrl.Request]) error {
	tell := func(bundle string) {
		for _, request := range p.using(ctx, bundle) {
			queue.Add(request)
		}
	}
	p.bundleChanged.Store(&tell)
	return nil
}

// using returns the policies that use a bundle.
func (p *Policies) using(ctx context.Context, bundle string) (out []ctrl.Request) {
	var stored v1alpha1.EgressPolicyList
	if err := p.client.List(ctx, &stored); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Policies that use a bundle are not known", "bundle", bundle)
		return nil
	}
	for _, policy := range stored.Items {
		if policy.Spec.Bundle() == bundle {
			out = append(out, ctrl.Request{NamespacedName: types.NamespacedName{Name: policy.Name}})
		}
	}
	return out
}

// reasonBundleFailed is that of a policy whose bundle could not be fetched, verified or compiled.
const reasonBundleFailed = "BundleFailed"

// bundleProblem says why the bundle of a policy is not as it should be, by the error with which that was put in force; nil where it is.
func (p *Policies) bundleProblem(policy *v1alpha1.EgressPolicy, err error) error {
	if p.bundles == nil || policy.Spec.Bundle() == "" {
		return err
	}
	problem := p.bundles.Problem(policy.Spec.Bundle())
	var missing *v1alpha1.BundleMissing
	switch {
	case errors.As(err, &missing):
		return &v1alpha1.BundleMissing{Bundle: missing.Bundle, Cause: problem}
	case err != nil || problem == nil:
		return err
	}
	return &bundleFailed{fmt.Errorf("the last good version of bundle %s stays in force: %w", policy.Spec.Bundle(), problem)}
}

// bundleFailed is the error of a policy that is in force by an older bundle.
type bundleFailed struct{ error }

// tell has an Event say what is wrong with the bundle of a policy.
func (p *Policies) tell(policy *v1alpha1.EgressPolicy, reason, message string) {
	if p.events == nil || reason != reasonBundleFailed && reason != reasonBundleMissing {
		return
	}
	const longest = 1024 // of an Event's note
	p.events.Eventf(policy, nil, corev1.EventTypeWarning, reason, "Bundle", "%s", strings.ToValidUTF8(message[:min(len(message), longest)], ""))
}

// reasonBundleMissing is that of a policy whose bundle has not come yet.
const reasonBundleMissing = "BundleMissing"
