//go:build e2e

package e2e

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/test/controlplane"
)

// decoded reads manifests into a namespace; OUTSIDE stands for the address of the outside.
func (c *cluster) decoded(t *testing.T, namespace, manifests string) []*unstructured.Unstructured {
	t.Helper()
	objects, err := controlplane.Decode(strings.NewReader(strings.ReplaceAll(manifests, "OUTSIDE", c.outside)))
	require.NoError(t, err)
	for _, object := range objects {
		if object.GetKind() != "EgressPolicy" && object.GetNamespace() == "" {
			object.SetNamespace(namespace)
		}
	}
	return objects
}

// apply applies as kubectl apply --server-side does.
func (c *cluster) apply(ctx context.Context, object *unstructured.Unstructured) error {
	_, err := c.stored(ctx, object)
	return err
}

// stored applies, and returns what the API server answers.
func (c *cluster) stored(ctx context.Context, object *unstructured.Unstructured, options ...client.PatchOption) (*unstructured.Unstructured, error) {
	out := object.DeepCopy()
	options = append(options, client.FieldOwner("e2e"), client.ForceOwnership)
	//nolint:staticcheck // the typed apply needs a generated configuration of each kind
	return out, c.Patch(ctx, out, client.Apply, options...)
}

// refusedBy requires that an object is refused by a reason, once the replica that answers has heard of what came before.
func (c *cluster) refusedBy(t *testing.T, object *unstructured.Unstructured, code string) {
	t.Helper()
	var answer error
	err := until(t.Context(), time.Minute, func(ctx context.Context) (bool, error) {
		_, answer = c.stored(ctx, object, client.DryRunAll)
		return answer != nil && strings.Contains(answer.Error(), code), nil
	})
	require.NoError(t, err, "%s/%s must be refused by %s, and is answered: %v", object.GetKind(), object.GetName(), code, answer)
}

// storedSoon requires that an object is stored, once the replica that answers has heard of what came before.
func (c *cluster) storedSoon(t *testing.T, object *unstructured.Unstructured) {
	t.Helper()
	var answer error
	err := until(t.Context(), 10*time.Second, func(ctx context.Context) (bool, error) {
		answer = c.apply(ctx, object)
		return answer == nil, nil
	})
	require.NoError(t, err, "%s/%s must be stored, and is answered: %v", object.GetKind(), object.GetName(), answer)
}

// serves waits until the webhook takes an entry, and the exit works.
func (c *cluster) serves(t *testing.T, entry *unstructured.Unstructured) {
	t.Helper()
	var err error
	require.NoError(t, until(t.Context(), startWithin, func(ctx context.Context) (bool, error) {
		err = c.apply(ctx, entry)
		return err == nil, nil
	}), "%v", err)
	c.exitReady(t, entry)
}

// applied applies manifests and deletes them when the test ends. It returns once the exits of all entries work.
func (c *cluster) applied(t *testing.T, namespace, manifests string) {
	t.Helper()
	objects := c.decoded(t, namespace, manifests)
	for _, object := range objects {
		require.NoError(t, c.apply(t.Context(), object))
	}
	t.Cleanup(func() { c.deleted(t, objects...) })
	for _, object := range objects {
		if object.GetKind() == "ServiceEntry" && namespace != exempt {
			c.exitReady(t, object)
		}
	}
}

// exitReady waits as kubectl wait --for=condition=ExitReady does.
func (c *cluster) exitReady(t *testing.T, entry *unstructured.Unstructured) {
	t.Helper()
	c.exitIs(t, entry, time.Minute, func(now *unstructured.Unstructured) bool { return controlplane.Met(now, "ExitReady", "True") })
}

// suspended waits until the status of an entry says so.
func (c *cluster) suspended(t *testing.T, entry *unstructured.Unstructured) {
	t.Helper()
	c.exitIs(t, entry, startWithin, func(now *unstructured.Unstructured) bool {
		return controlplane.ConditionOf(now, "ExitReady", "reason") == "Suspended"
	})
}

// exitIs waits until an entry says of its exit what is waited for.
func (c *cluster) exitIs(t *testing.T, entry *unstructured.Unstructured, within time.Duration, says func(now *unstructured.Unstructured) bool) {
	t.Helper()
	var got *unstructured.Unstructured
	err := until(t.Context(), within, func(ctx context.Context) (bool, error) {
		got = entry.DeepCopy()
		if err := c.Get(ctx, client.ObjectKeyFromObject(entry), got); err != nil {
			return false, err
		}
		return says(got), nil
	})
	require.NoError(t, err, "%s: %v", entry.GetName(), got.Object["status"])
}

func (c *cluster) deleted(t *testing.T, objects ...*unstructured.Unstructured) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	for _, object := range objects {
		require.NoError(t, client.IgnoreNotFound(c.Delete(ctx, object.DeepCopy())))
	}
	for _, object := range objects {
		require.NoError(t, until(ctx, time.Minute, func(ctx context.Context) (bool, error) {
			return apierrors.IsNotFound(c.Get(ctx, client.ObjectKeyFromObject(object), object.DeepCopy())), nil
		}))
	}
}

// gone deletes objects of Kubernetes' own kinds and waits for it.
func (c *cluster) gone(t *testing.T, objects ...client.Object) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	for _, object := range objects {
		require.NoError(t, client.IgnoreNotFound(c.Delete(ctx, object, client.GracePeriodSeconds(0))))
		require.NoError(t, until(ctx, time.Minute, func(ctx context.Context) (bool, error) {
			return apierrors.IsNotFound(c.Get(ctx, client.ObjectKeyFromObject(object), object)), nil
		}))
	}
}
