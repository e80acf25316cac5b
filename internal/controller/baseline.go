package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/wait"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// Baseline keeps the EgressPolicies that the configuration asks for, for all to see. They are in force without that, too:
// every replica has them from its own file. The leader runs it.
type Baseline struct {
	// Policies are those that are to be there.
	Policies []*v1alpha1.EgressPolicy
	// Client reads from a cache.
	Client client.Client
}

// Start implements manager.Runnable. It returns when the context ends.
func (b *Baseline) Start(ctx context.Context) error {
	wait.UntilWithContext(ctx, func(ctx context.Context) {
		if err := b.keep(ctx); err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "The baseline is in force, and not all of it can be seen yet")
		}
	}, lookEvery)
	return nil
}

func (b *Baseline) keep(ctx context.Context) error {
	var stored v1alpha1.EgressPolicyList
	if err := b.Client.List(ctx, &stored); err != nil {
		return err
	}
	var errs []error
	for _, want := range b.Policies {
		errs = append(errs, b.ensure(ctx, want, stored.Items))
	}
	for i := range stored.Items {
		have := &stored.Items[i]
		if ofBaseline(have) && !slices.ContainsFunc(b.Policies, func(want *v1alpha1.EgressPolicy) bool { return want.Name == have.Name }) {
			errs = append(errs, deleteKnown(ctx, b.Client, have))
		}
	}
	return errors.Join(errs...)
}

// ensure makes a stored policy say what is in force, whoever changed it.
func (b *Baseline) ensure(ctx context.Context, want *v1alpha1.EgressPolicy, stored []v1alpha1.EgressPolicy) error {
	i := slices.IndexFunc(stored, func(have v1alpha1.EgressPolicy) bool { return have.Name == want.Name })
	if i < 0 {
		created := want.DeepCopy()
		created.Labels = map[string]string{hop.ManagedByLabel: hop.Manager}
		if err := b.Client.Create(ctx, created); err != nil {
			return fmt.Errorf("create EgressPolicy %s: %w", want.Name, err)
		}
		return nil
	}
	next := stored[i].DeepCopy()
	next.Labels = union(next.Labels, map[string]string{hop.ManagedByLabel: hop.Manager})
	if sameSpec(next.Spec, want.Spec) && maps.Equal(next.Labels, stored[i].Labels) {
		return nil
	}
	next.Spec = *want.Spec.DeepCopy()
	if err := b.Client.Update(ctx, next); err != nil {
		return fmt.Errorf("update EgressPolicy %s: %w", want.Name, err)
	}
	return nil
}

// sameSpec says whether two say the same, however the JSON of their parameters is written: the API server writes it in a way of its own.
func sameSpec(a, b v1alpha1.EgressPolicySpec) bool {
	parameters := func(of *v1alpha1.EgressPolicySpec) (out any) {
		if of.Parameters == nil {
			return nil
		}
		raw := of.Parameters.Raw
		if of.Parameters = nil; json.Unmarshal(raw, &out) != nil {
			return raw
		}
		return out
	}
	return equality.Semantic.DeepEqual(parameters(&a), parameters(&b)) && equality.Semantic.DeepEqual(a, b)
}

// ofBaseline says whether a stored policy is, or was, one of a baseline's.
func ofBaseline(policy *v1alpha1.EgressPolicy) bool {
	return policy.Labels[hop.ManagedByLabel] == hop.Manager && strings.HasPrefix(policy.Name, v1alpha1.BaselinePrefix)
}
