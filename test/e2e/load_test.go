//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// workers apply at once.
const workers = 4

// applyWithoutPause has entries of unique hosts applied, changed and deleted until the returned function is called, which says
// how many requests were sent and which failed. An entry that is stored otherwise than sealed fails the test, answered or not.
func (c *cluster) applyWithoutPause(t *testing.T) func() (sent int64, failed []error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	var sent atomic.Int64
	var mu sync.Mutex
	var failed []error
	tell := func(err error) {
		sent.Add(1)
		if err != nil {
			mu.Lock()
			defer mu.Unlock()
			failed = append(failed, err)
		}
	}
	for worker := range workers {
		group.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				name := fmt.Sprintf("load-%d-%d", worker, n/3)
				object := c.decoded(t, appA, entry(name, name+".partner.test", webPorts))[0]
				if n%3 == 2 {
					tell(client.IgnoreNotFound(c.Delete(context.WithoutCancel(ctx), object)))
					continue
				}
				object.SetAnnotations(map[string]string{"n": fmt.Sprint(n)})
				stored, err := c.stored(context.WithoutCancel(ctx), object)
				if err == nil && !sealed(stored) {
					err = fmt.Errorf("stored ungoverned: %v", stored.Object["spec"])
				}
				tell(err)
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

// cleared judges what the load left stored, whoever answered what, and deletes it.
func (c *cluster) cleared(t *testing.T) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	list := &unstructured.UnstructuredList{}
	list.SetAPIVersion("networking.istio.io/v1")
	list.SetKind("ServiceEntryList")
	require.NoError(t, c.List(ctx, list, client.InNamespace(appA)))
	for i := range list.Items {
		if object := &list.Items[i]; strings.HasPrefix(object.GetName(), "load-") {
			require.True(t, sealed(object), "%s is stored ungoverned: %v", object.GetName(), object.Object["spec"])
			c.deleted(t, object)
		}
	}
}
