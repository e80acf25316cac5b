package controller

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
)

// whole returns a policy with the parameters that it shares with others.
func (p *Policies) whole(ctx context.Context, from client.Reader, policy *v1alpha1.EgressPolicy) (*v1alpha1.EgressPolicy, error) {
	return policy.Whole(p.namespace, p.data(ctx, from))
}

// data reads what a ConfigMap of the webhook's namespace has, false where there is none.
func (p *Policies) data(ctx context.Context, from client.Reader) func(configMap string) (map[string]string, bool, error) {
	return func(configMap string) (map[string]string, bool, error) {
		stored := &corev1.ConfigMap{}
		err := from.Get(ctx, types.NamespacedName{Namespace: p.namespace, Name: configMap}, stored)
		if apierrors.IsNotFound(err) {
			return nil, false, nil
		}
		return stored.Data, err == nil, err
	}
}

// Check says what is wrong with a policy, by the parameters that it shares now; the warnings are what its author may not have meant.
func (p *Policies) Check(ctx context.Context, policy *v1alpha1.EgressPolicy) (warnings []string, err error) {
	warnings, err = policy.Check(p.namespace, p.data(ctx, p.live), func(whole *v1alpha1.EgressPolicy) error {
		err := p.engine.Check(whole)
		var absent *v1alpha1.BundleMissing
		if errors.As(err, &absent) {
			return p.bundleProblem(policy, err)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return slices.Concat(p.warnings(policy), warnings), nil
}

// enforce puts a policy in force with its shared parameters, and returns by which version of all that is. Where they are not
// there, or do not fit, the last good version stays, and without one the policy cannot be evaluated.
func (p *Policies) enforce(ctx context.Context, policy *v1alpha1.EgressPolicy) (version string, err error) {
	version = fmt.Sprint(policy.Generation)
	whole, err := p.whole(ctx, p.client, policy)
	if err != nil {
		_ = p.engine.Set(policy) // it is not whole
		return version, err
	}
	if err := policy.Sharing(p.namespace, p.engine.Set(whole)); err != nil {
		return version, err
	}
	if policy.Spec.ParametersFrom != nil {
		version += fmt.Sprintf("/%x", sha256.Sum256(whole.Spec.Parameters.Raw))
	}
	if p.bundles != nil && policy.Spec.Bundle() != "" {
		version += "/" + p.bundles.Version(policy.Spec.Bundle())
	}
	return version, nil
}

// unfit is why a policy is not ready, in a word.
func unfit(err error) string {
	var missing *v1alpha1.ParametersMissing
	var absent *v1alpha1.BundleMissing
	var failed *bundleFailed
	switch {
	case errors.As(err, &missing):
		return "ParametersMissing"
	case errors.As(err, &absent):
		return reasonBundleMissing
	case errors.As(err, &failed):
		return reasonBundleFailed
	case errors.Is(err, errOtherBaseline):
		return "NotInForce"
	}
	return "Invalid"
}

// sharing returns the policies that share the parameters of a ConfigMap.
func (p *Policies) sharing(ctx context.Context, of client.Object) (out []ctrl.Request) {
	var stored v1alpha1.EgressPolicyList
	if err := p.client.List(ctx, &stored); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Policies that share parameters are not known", "configMap", of.GetName())
		return nil
	}
	for _, policy := range stored.Items {
		if source := policy.Spec.ParametersFrom; source != nil && source.ConfigMap == of.GetName() && of.GetNamespace() == p.namespace {
			out = append(out, ctrl.Request{NamespacedName: types.NamespacedName{Name: policy.Name}})
		}
	}
	return out
}
