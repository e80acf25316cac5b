package reliability

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/test/controlplane"
)

// withoutBundle has both webhook configurations trust nobody, as a tool has it that resets what a chart does not say.
func withoutBundle(ctx context.Context, t *testing.T) {
	mutating := &admissionregistrationv1.MutatingWebhookConfiguration{}
	changed(ctx, t, mutating, func() {
		for i := range mutating.Webhooks {
			mutating.Webhooks[i].ClientConfig.CABundle = nil
		}
	})
	validating := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	changed(ctx, t, validating, func() {
		for i := range validating.Webhooks {
			validating.Webhooks[i].ClientConfig.CABundle = nil
		}
	})
	shaken()
	require.NoError(t, until(ctx, func() error { return vouched(ctx, nil) }))
}

// changed changes an object that has the name of the release.
func changed(ctx context.Context, t *testing.T, object client.Object, change func()) {
	t.Helper()
	require.NoError(t, until(ctx, func() error {
		if err := world.plane.Client.Get(ctx, client.ObjectKey{Name: controlplane.Release, Namespace: object.GetNamespace()}, object); err != nil {
			return err
		}
		change()
		return world.plane.Client.Update(ctx, object)
	}))
}

// ahead kills the leader, who renewed its lease by a clock that was ahead.
func ahead(ctx context.Context, t *testing.T) {
	world.leads(ctx, t).crash(t)
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: controlplane.Namespace}}
	changed(ctx, t, lease, func() {
		then := metav1.NewMicroTime(time.Now().AddDate(1, 0, 0))
		lease.Spec.RenewTime = &then
	})
}

// policy is an EgressPolicy of Rego.
func policy(name, rego string) *v1alpha1.EgressPolicy {
	return &v1alpha1.EgressPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.EgressPolicySpec{Rego: "package " + name + "\n\n" + rego + "\n"}}
}

// uncompiled has an EgressPolicy broken that was in force: what it said last holds.
func uncompiled(ctx context.Context, t *testing.T) {
	house := breaksHouse(ctx, t)
	require.NoError(t, forbidden(ctx), "what it said last holds")
	require.NoError(t, world.plane.Client.Delete(ctx, house))
}

// uncompiledAtStart has replicas start that never knew what it said: whatever it matches is refused until somebody mends it.
func uncompiledAtStart(ctx context.Context, t *testing.T) {
	house := breaksHouse(ctx, t)
	require.NoError(t, world.roll(ctx))
	err := world.plane.Client.Create(ctx, entry(tenants[0], 1<<20, 0), client.DryRunAll)
	require.ErrorContains(t, err, "does not compile")
	require.NoError(t, world.plane.Client.Delete(ctx, house))
}

// breaksHouse returns an EgressPolicy that was in force and does not compile any more.
func breaksHouse(ctx context.Context, t *testing.T) *v1alpha1.EgressPolicy {
	t.Helper()
	house := policy("house", `deny contains "house rule" if input.egress.hosts[_].host == "forbidden.example.com"`)
	require.NoError(t, world.plane.Client.Create(ctx, house))
	require.NoError(t, until(ctx, func() error { return forbidden(ctx) }))
	breaks := func() error {
		patch := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"rego":"package house\n\ndeny contains if {"}}`))
		return world.plane.Client.Patch(ctx, house.DeepCopy(), patch)
	}
	err := breaks()
	require.True(t, apierrors.IsInvalid(err), "who asks the webhook is refused, not: %v", err)

	configuration := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	var judges admissionregistrationv1.ValidatingWebhook
	changed(ctx, t, configuration, func() {
		last := len(configuration.Webhooks) - 1
		judges, configuration.Webhooks = configuration.Webhooks[last], configuration.Webhooks[:last]
	})
	require.Equal(t, "policy.egress-governor.io", judges.Name)
	require.NoError(t, until(ctx, breaks))
	changed(ctx, t, configuration, func() { configuration.Webhooks = append(configuration.Webhooks, judges) })
	require.NoError(t, until(ctx, func() error {
		if err := world.plane.Client.Get(ctx, client.ObjectKeyFromObject(house), house); err != nil {
			return err
		}
		for _, condition := range house.Status.Conditions {
			if condition.Type == "Ready" && condition.Status == metav1.ConditionFalse && condition.ObservedGeneration == house.Generation {
				return nil
			}
		}
		return fmt.Errorf("nobody says that it is broken: %+v", house.Status)
	}))
	return house
}

// forbidden returns why the host is not denied that the house forbids.
func forbidden(ctx context.Context) error {
	entry := entry(tenants[0], 1<<20, 0)
	entry.Object["spec"].(map[string]any)["hosts"] = []any{"forbidden.example.com"}
	err := world.plane.Client.Create(ctx, entry, client.DryRunAll)
	if !apierrors.IsForbidden(err) {
		return errors.Join(errors.New("it is not denied"), err)
	}
	return nil
}

// failing has an EgressPolicy that no request of one namespace can be judged by: that namespace stands still, the others go on.
func failing(ctx context.Context, t *testing.T) {
	twice := policy("twice", "value := 1 if true\n\nvalue := 2 if true\n\ndeny contains \"never\" if value == 3")
	twice.Spec.Match.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": tenants[0]}}
	require.NoError(t, world.plane.Client.Create(ctx, twice))
	require.NoError(t, until(ctx, func() error {
		err := world.plane.Client.Create(ctx, entry(tenants[0], 1<<20, 0), client.DryRunAll)
		if outcomeOf(err) != refused {
			return errors.Join(errors.New("it is not failed"), err)
		}
		return world.plane.Client.Create(ctx, entry(tenants[1], 1<<20, 0), client.DryRunAll)
	}))
	time.Sleep(2 * time.Second)
	require.NoError(t, world.plane.Client.Delete(ctx, twice))
}
