package window

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/test/controlplane"
)

// fleet is an istiod and the proxies that it tells, by namespace.
type fleet struct {
	promises
	proxies map[string]*Proxy
	// settled counts the markers.
	settled int
	// seen is how many findings of each proxy were told.
	seen map[string]int
}

// sail starts an istiod, with settings of its own, and connects proxies to it.
func sail(t *testing.T, nodes []Node, settings ...string) *fleet {
	t.Helper()
	istiod, err := plane.StartIstiod(t.Context(), filepath.Join(root, ".run", "tools", "pilot-discovery"), settings...)
	require.NoError(t, err)
	conn, err := grpc.NewClient(istiod.Address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
	require.NoError(t, err)
	out := &fleet{proxies: map[string]*Proxy{}, seen: map[string]int{}}
	t.Cleanup(func() {
		for _, proxy := range out.proxies {
			assert.NoError(t, proxy.Close())
		}
		assert.NoError(t, conn.Close())
		assert.NoError(t, istiod.Stop())
	})
	for _, node := range nodes {
		judge := func(state *State) []string { return state.Gateway(mesh()) }
		if node.Kind == "sidecar" {
			judge = func(state *State) []string {
				return out.judge(node.Namespace, func(standing map[Call]bool) []string { return state.Sidecar(mesh(), standing) })
			}
		}
		proxy, err := Connect(context.WithoutCancel(t.Context()), conn, node, judge)
		require.NoError(t, err)
		out.proxies[node.Namespace] = proxy
	}
	for _, proxy := range out.proxies {
		await(t, proxy.Until(func(s *State) bool { return len(s.Clusters) > 0 && len(s.Endpoints) > 0 }), proxy.Node.String()+" of anything")
	}
	return out
}

// await waits for what a proxy is told, and returns when it was.
func await(t *testing.T, at <-chan time.Time, what string) time.Time {
	t.Helper()
	select {
	case out := <-at:
		return out
	case <-time.After(within):
		require.Fail(t, "a proxy was not told", what)
		return time.Time{}
	}
}

// settle waits until every sidecar was told all that is stored by now, by an entry that is stored last; and, while the
// controller works, until the gateways were. From then on the calls of stored entries stand.
func (f *fleet) settle(t *testing.T, controller bool) {
	t.Helper()
	f.settled++
	call := Call{fmt.Sprintf("m%d.marker.test", f.settled), 80}
	for namespace := range namespaces {
		marker := drawer{namespace: namespace}.object("ServiceEntry", "marker", map[string]any{
			"hosts": []any{call.Host}, "exportTo": []any{"."}, "resolution": "DNS",
			"ports": []any{map[string]any{"number": int64(call.Port), "name": "http", "protocol": "HTTP"}},
		})
		f.withdraw(namespace, "marker", marker)
		apply(t, marker)
	}
	for namespace, gateway := range namespaces {
		await(t, f.proxies[namespace].Until(func(s *State) bool { return s.Knows(call) }), namespace+" of "+call.Host)
		if controller {
			await(t, f.proxies[gateway].Until(func(s *State) bool { return s.Reaches(call, mesh()) }), gateway+" of "+call.Host)
		}
	}
	f.stand(t)
}

// apply applies an entry as a client does, and again as its author is told to where its namespace moved between the two webhooks.
func apply(t *testing.T, entry *unstructured.Unstructured) {
	t.Helper()
	var err error
	for until := time.Now().Add(within); ; time.Sleep(100 * time.Millisecond) {
		err = controlplane.ClientSideApply(t.Context(), tenant, entry)
		if err == nil || !strings.Contains(err.Error(), "(not-sealed)") || time.Now().After(until) {
			break
		}
	}
	require.NoError(t, err)
}

// stand has the calls of stored entries stand, in every sidecar that sees them: it must know each by now.
func (f *fleet) stand(t *testing.T) {
	t.Helper()
	of := map[string][]promise{}
	for namespace := range namespaces {
		entries, err := listed(t.Context(), "ServiceEntry", client.InNamespace(namespace))
		require.NoError(t, err)
		for i := range entries {
			of[namespace+"/"+entries[i].GetName()] = promisesOf(&entries[i])
		}
	}
	for namespace, calls := range f.set(of) {
		f.proxies[namespace].With(func(s *State) {
			for call := range calls {
				assert.True(t, s.Knows(call), "%s has an entry of %s:%d, and its sidecar does not know it", namespace, call.Host, call.Port)
			}
		})
	}
}

// arrive waits until the gateways lead the calls of every stored entry on: what was closed in between is open again. Of two entries
// that contradict each other, and were stored before the webhook was told of either, one has no exit.
func (f *fleet) arrive(t *testing.T) {
	t.Helper()
	for name, all := range f.of {
		namespace, entry, _ := strings.Cut(name, "/")
		for _, of := range all {
			led := f.proxies[namespaces[namespace]].Until(func(s *State) bool { return s.Reaches(of.Call, mesh()) })
			require.Eventually(t, func() bool {
				select {
				case <-led:
					return true
				default:
					return contradicts(t, namespace, entry)
				}
			}, within, time.Second, "the exit of %s:%d, for %s", of.Host, of.Port, name)
		}
	}
}

// contradicts says whether the author of an entry is told that it has no exit, since another defines its host otherwise; and nobody
// could store the like of it now.
func contradicts(t *testing.T, namespace, name string) bool {
	t.Helper()
	stored := drawer{namespace: namespace}.object("ServiceEntry", name, nil)
	require.NoError(t, tenant.Get(t.Context(), client.ObjectKeyFromObject(stored), stored))
	if controlplane.ConditionOf(stored, "ExitReady", "reason") != "HostConflict" {
		return false
	}
	again := drawer{namespace: namespace}.object("ServiceEntry", name+"-again", stored.Object["spec"].(map[string]any))
	again.SetAnnotations(stored.GetAnnotations())
	return apierrors.IsInvalid(tenant.Create(t.Context(), again, client.DryRunAll))
}

// clean asserts that nothing was found since it was last asked, and returns how many pushes were judged so far. Whatever is
// stored is left beside the logs where something was.
func (f *fleet) clean(t *testing.T) int {
	t.Helper()
	pushes := 0
	for _, name := range slices.Sorted(maps.Keys(f.proxies)) {
		found, judged := f.proxies[name].Found()
		pushes += judged
		fresh := found[f.seen[name]:]
		f.seen[name] = len(found)
		for i, finding := range fresh {
			if i == 5 {
				t.Errorf("%s: and %d more pushes", name, len(fresh)-i)
				break
			}
			t.Errorf("%s at %s, after %s:\n  %s", name, finding.At.Format("15:04:05.000"), finding.Push, strings.Join(finding.What, "\n  "))
		}
	}
	if t.Failed() {
		dump(t)
	}
	return pushes
}

// dump leaves what is stored.
func dump(t *testing.T) {
	t.Helper()
	var out strings.Builder
	for _, kind := range []string{"ServiceEntry", "VirtualService", "DestinationRule", "Gateway"} {
		list, err := listed(t.Context(), kind)
		require.NoError(t, err)
		for i := range list {
			list[i].SetManagedFields(nil)
			raw, err := yaml.Marshal(list[i].Object)
			require.NoError(t, err)
			fmt.Fprintf(&out, "---\n%s", raw)
		}
	}
	file := filepath.Join(root, ".run", "window", strings.ReplaceAll(t.Name(), "/", "-")+".yaml")
	require.NoError(t, os.WriteFile(file, []byte(out.String()), 0o600))
	t.Logf("what is stored: %s", file)
}
