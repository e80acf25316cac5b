package window

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/test/controlplane"
)

// tally counts what became of the writes.
type tally struct {
	mu  sync.Mutex
	did map[string]int
}

// write makes one, anew as long as no webhook answers: nothing was stored then.
func (t *tally) write(ctx context.Context, what string, write func() error) {
	for until := time.Now().Add(within); ; time.Sleep(20 * time.Millisecond) {
		err := write()
		became := "stored"
		switch {
		case apierrors.IsInternalError(err):
			became = "not answered"
		case apierrors.IsNotFound(err):
			became = "not there"
		case err != nil:
			became = "refused"
		}
		t.count(what + ", " + became)
		if became != "not answered" || ctx.Err() != nil || time.Now().After(until) {
			return
		}
	}
}

func (t *tally) count(what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.did[what]++
}

// churner is a tenant who writes and deletes, in one namespace.
type churner struct {
	drawer
	fleet *fleet
	tally *tally
}

// churn has two tenants in each namespace make so many changes each, all at once.
func churn(ctx context.Context, f *fleet, tally *tally, seed uint64, steps int) {
	var all sync.WaitGroup
	for i, namespace := range slices.Sorted(maps.Keys(namespaces)) {
		for j := range 2 {
			all.Go(func() {
				draws := rand.New(rand.NewPCG(seed, uint64(2*i+j)))
				of := &churner{drawer{draws, namespace, namespaces[namespace] == vault}, f, tally}
				for range steps {
					of.step(ctx)
				}
			})
		}
	}
	all.Wait()
}

// step makes one change.
func (c *churner) step(ctx context.Context) {
	name := func(letter string, n int) string { return fmt.Sprintf("%s%d", letter, c.IntN(n)) }
	switch n := c.IntN(20); {
	case n < 8:
		in := c.entry(name("e", 5))
		c.fleet.withdraw(c.namespace, in.GetName(), in)
		c.apply(ctx, in)
	case n < 11:
		c.change(ctx, name("e", 5))
	case n < 13:
		of := name("e", 5)
		c.fleet.withdraw(c.namespace, of, nil)
		c.remove(ctx, "ServiceEntry", of)
	case n < 16:
		c.apply(ctx, c.routes(name("v", 3)))
	case n < 17:
		c.remove(ctx, "VirtualService", name("v", 3))
	case n < 19:
		c.apply(ctx, c.rule(name("r", 3)))
	default:
		c.remove(ctx, "DestinationRule", name("r", 3))
	}
}

// apply writes an object in one of the ways in which people do.
func (c *churner) apply(ctx context.Context, in *unstructured.Unstructured) {
	kind := in.GetKind()
	switch c.IntN(3) {
	case 0:
		c.tally.write(ctx, kind+" applied by the client", func() error { return controlplane.ClientSideApply(ctx, tenant, in) })
	case 1:
		c.tally.write(ctx, kind+" applied by the server", func() error {
			//nolint:staticcheck // the typed apply needs a generated configuration of each kind
			return tenant.Patch(ctx, in.DeepCopy(), client.Apply, client.FieldOwner("tenant"), client.ForceOwnership)
		})
	default:
		live := in.DeepCopy()
		if tenant.Get(ctx, client.ObjectKeyFromObject(in), live) != nil {
			c.tally.write(ctx, kind+" created", func() error { return tenant.Create(ctx, in.DeepCopy()) })
			return
		}
		live.Object["spec"] = in.Object["spec"]
		c.tally.write(ctx, kind+" replaced", func() error { return tenant.Update(ctx, live.DeepCopy()) })
	}
}

// change patches a stored entry.
func (c *churner) change(ctx context.Context, name string) {
	patch, stays := c.patch()
	if !stays {
		c.fleet.withdraw(c.namespace, name, nil)
	}
	c.tally.write(ctx, "ServiceEntry patched", func() error {
		return tenant.Patch(ctx, c.object("ServiceEntry", name, nil), client.RawPatch(types.MergePatchType, []byte(patch)))
	})
}

func (c *churner) remove(ctx context.Context, kind, name string) {
	c.tally.write(ctx, kind+" deleted", func() error { return tenant.Delete(ctx, c.object(kind, name, nil)) })
}

// deleteExits deletes objects of exit sets and client rules by hand, one in so many of those that are there.
func deleteExits(ctx context.Context, tally *tally, r *rand.Rand, oneIn int) error {
	for _, kind := range []string{"ServiceEntry", "VirtualService", "DestinationRule", "Gateway"} {
		list, err := listed(ctx, kind, client.MatchingLabels{hop.ManagedByLabel: hop.Manager})
		if err != nil {
			return err
		}
		for i := range list {
			if r.IntN(oneIn) == 0 {
				tally.write(ctx, kind+" of ours deleted by hand", func() error { return plane.Client.Delete(ctx, &list[i]) })
			}
		}
	}
	return nil
}

// listed returns the stored objects of a kind.
func listed(ctx context.Context, kind string, options ...client.ListOption) ([]unstructured.Unstructured, error) {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(networkingv1.SchemeGroupVersion.WithKind(kind + "List"))
	err := plane.Client.List(ctx, list, options...)
	return list.Items, err
}
