//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// loads are what is applied at once, each without pause: entries of unique hosts, for both transports, and one with a route.
var loads = []struct {
	namespace string
	routed    bool
}{{appA, false}, {appA, false}, {appA, true}, {vaultA, false}}

// applyWithoutPause has entries of unique hosts applied, changed and deleted until the returned function is called, which says
// how many requests were sent and which failed. What is stored otherwise than sealed fails the test, answered or not.
func (c *cluster) applyWithoutPause(t *testing.T) func() (sent int64, failed []error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	var sent atomic.Int64
	var mu sync.Mutex
	var failed []error
	tell := func(err error) bool {
		sent.Add(1)
		if err != nil {
			mu.Lock()
			defer mu.Unlock()
			failed = append(failed, err)
		}
		return err == nil
	}
	for worker, load := range loads {
		group.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				name := fmt.Sprintf("load-%d-%d", worker, n)
				objects := c.decoded(t, load.namespace, entry(name, name+".partner.test'], exportTo: ['.", webPorts))
				if load.routed {
					objects = append(objects, c.decoded(t, load.namespace, virtualService(name, routeTo(name+".partner.test")))...)
				}
				c.liveAndDie(ctx, objects, tell)
			}
		})
	}
	var once sync.Once
	stop := func() (int64, []error) {
		once.Do(func() {
			cancel()
			group.Wait()
			c.cleared(t)
		})
		return sent.Load(), failed
	}
	t.Cleanup(func() { stop() })
	return stop
}

// routeTo is the spec of a route of a host.
func routeTo(host string) string {
	return fmt.Sprintf("{hosts: [%s], exportTo: ['.'], http: [{timeout: 3s, route: [{destination: {host: %s, port: {number: 80}}}]}]}", host, host)
}

// liveAndDie applies objects, changes and deletes them: none where the one before it could not be applied, or the one after it deleted.
func (c *cluster) liveAndDie(ctx context.Context, objects []*unstructured.Unstructured, tell func(error) bool) {
	applied := 0
	for sound := true; sound && applied < len(objects); applied++ {
		for n := 0; n < 2 && sound && ctx.Err() == nil; n++ {
			object := objects[applied]
			object.SetAnnotations(map[string]string{"n": fmt.Sprint(n)})
			stored, err := c.stored(context.WithoutCancel(ctx), object)
			if err == nil && !governed(stored) && !asWritten(stored, object) {
				err = fmt.Errorf("stored ungoverned: %v", stored.Object["spec"])
			}
			sound = tell(err)
		}
	}
	for _, object := range slices.Backward(objects[:applied]) {
		if ctx.Err() != nil || !tell(client.IgnoreNotFound(c.Delete(context.WithoutCancel(ctx), object))) {
			return
		}
	}
}

// governed says whether an entry has its gateway for its only endpoint, or a route leads there.
func governed(object *unstructured.Unstructured) bool {
	if object.GetKind() == "ServiceEntry" {
		return sealed(object)
	}
	routes, _, _ := unstructured.NestedSlice(object.Object, "spec", "http")
	return len(routes) == 1 && strings.Contains(fmt.Sprint(routes[0]), wayOf(object.GetNamespace()).service())
}

// asWritten says whether a route is stored as it was written: a replica that has not heard of its entry yet leaves it, and the leader
// injects it once it has.
func asWritten(stored, object *unstructured.Unstructured) bool {
	return object.GetKind() == "VirtualService" && equality.Semantic.DeepEqual(stored.Object["spec"], object.Object["spec"])
}

// cleared judges what the load left stored, whoever answered what, and deletes it: routes first.
func (c *cluster) cleared(t *testing.T) {
	t.Helper()
	for _, kind := range []string{"VirtualService", "ServiceEntry"} {
		for _, namespace := range []string{appA, vaultA} {
			for _, left := range c.left(t, kind, namespace) {
				ctx := context.WithoutCancel(t.Context())
				object := left.DeepCopy()
				err := until(ctx, time.Minute, func(ctx context.Context) (bool, error) {
					if kind == "VirtualService" {
						if err := c.Get(ctx, client.ObjectKeyFromObject(left), object); err != nil {
							return false, nil
						}
					}
					return governed(object), nil
				})
				require.NoError(t, err, "%s %s is stored ungoverned: %v", kind, left.GetName(), object.Object["spec"])
				c.deleted(t, left)
			}
		}
	}
}

// left returns what the load left of a kind in a namespace.
func (c *cluster) left(t *testing.T, kind, namespace string) (out []*unstructured.Unstructured) {
	t.Helper()
	list := &unstructured.UnstructuredList{}
	list.SetAPIVersion("networking.istio.io/v1")
	list.SetKind(kind + "List")
	require.NoError(t, c.List(context.WithoutCancel(t.Context()), list, client.InNamespace(namespace)))
	for i := range list.Items {
		if object := &list.Items[i]; strings.HasPrefix(object.GetName(), "load-") {
			out = append(out, object)
		}
	}
	return out
}
