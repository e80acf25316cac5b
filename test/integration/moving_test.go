package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/test/controlplane"
)

// moving is what moves: an entry of everything that a plain gateway carries.
const moving = `{hosts: [moving.example.com], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]}`

// TestANamespaceMoves to another egress gateway with another transport, and back. Every state of the cluster on the way is
// left for test/routing, which proves that no call goes straight out in any. It is not parallel, so that no other test's
// objects are among them.
func TestANamespaceMoves(t *testing.T) {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "moving"}}
	require.NoError(t, shared.Client.Create(t.Context(), ns))
	require.NoError(t, shared.Client.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: named(ns.Name, "default")}))
	in := entry(t, "v1", ns.Name, "moving", moving)
	require.NoError(t, shared.Client.Create(t.Context(), in))
	t.Cleanup(func() { require.NoError(t, shared.Client.Delete(context.WithoutCancel(t.Context()), in)) })
	eventually(t, func() bool { return ready(get(t, in), "True") }, "ExitReady")
	label := func(value string) func() {
		return func() {
			ns.Labels["egress"] = value
			require.NoError(t, shared.Client.Update(t.Context(), ns))
		}
	}
	record(t, "to-vault", label("vault"), func() bool { return settled(t, in, vaultNamespace, controlplane.GatewayNamespace) })
	record(t, "from-vault", label(""), func() bool { return settled(t, in, controlplane.GatewayNamespace, vaultNamespace) })
}

// TestAnEntryByMutualTLSIsAdopted, and goes back: every state in between is left, too.
func TestAnEntryByMutualTLSIsAdopted(t *testing.T) {
	const ns = "adopting"
	labels := map[string]string{"egress": "vault", "egress-governor.io/mode": "Observe"}
	require.NoError(t, shared.Client.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns, Labels: labels}}))
	require.NoError(t, shared.Client.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: named(ns, "default")}))
	in := entry(t, "v1", ns, "moving", strings.TrimSuffix(moving, "}")+`, exportTo: ["."]}`)
	require.NoError(t, shared.Client.Create(t.Context(), in))
	t.Cleanup(func() { require.NoError(t, shared.Client.Delete(context.WithoutCancel(t.Context()), in)) })
	run := func(args ...string) func() {
		return func() {
			code, said := adoption(t, append(append(args, "--apply"), quick...)...)
			require.Equal(t, 0, code, said)
		}
	}
	record(t, "adopted", run("adopt", "-n", ns), func() bool { return settled(t, in, vaultNamespace, controlplane.GatewayNamespace) })
	patch(t, &corev1.Namespace{ObjectMeta: named("", ns)}, `{"metadata":{"labels":{"egress-governor.io/mode":"Observe"}}}`)
	record(t, "unsealed", run("unseal", ns), func() bool {
		return len(stored(t, "DestinationRule", ns))+len(passages(t, vaultNamespace)) == 0 && len(get(t, in).GetAnnotations()) == 0
	})
}

// TestAGatewayChangesItsTransport under stored entries, and back.
func TestAGatewayChangesItsTransport(t *testing.T) {
	const ns = "changing"
	require.NoError(t, shared.Client.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}))
	require.NoError(t, shared.Client.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: named(ns, "default")}))
	in := entry(t, "v1", ns, "moving", moving)
	require.NoError(t, shared.Client.Create(t.Context(), in))
	t.Cleanup(func() { require.NoError(t, shared.Client.Delete(context.WithoutCancel(t.Context()), in)) })
	eventually(t, func() bool { return ready(get(t, in), "True") }, "ExitReady")
	transport := func(transport string) func() {
		return func() {
			require.NoError(t, shared.StopWebhook())
			values := gateways()
			list := values["config"].(map[string]any)["gateways"].([]any)
			list[len(list)-1].(map[string]any)["transport"] = transport
			shared.Configure(values)
			require.NoError(t, shared.StartWebhook(t.Context()))
		}
	}
	t.Cleanup(func() { shared.Configure(gateways()) })
	by := func(location string) func() bool {
		return func() bool {
			have, _, _ := unstructured.NestedString(get(t, in).Object, "spec", "location")
			plain, mutual := 0, 0
			for _, routes := range stored(t, "VirtualService", controlplane.GatewayNamespace) {
				if strings.Contains(fmt.Sprint(routes.Object["spec"]), "mutual-tls") {
					mutual++
				} else {
					plain++
				}
			}
			rules := len(stored(t, "DestinationRule", ns))
			if location == "" {
				return have == "" && ready(get(t, in), "True") && mutual == 0 && plain == 1 && rules == 0
			}
			return have == location && ready(get(t, in), "True") && plain == 1 && rules == 1
		}
	}
	record(t, "to-mutual-tls", transport("MutualTLS"), by("MESH_INTERNAL"))
	record(t, "to-plain", transport("Plain"), by(""))
}

// settled says whether an entry leaves by the gateway of a namespace, and nothing of it is left in another.
func settled(t *testing.T, in client.Object, to, from string) bool {
	now := get(t, in)
	rules := map[string]int{vaultNamespace: 1, controlplane.GatewayNamespace: 0}[to]
	return strings.Contains(fmt.Sprint(now.Object["spec"]), "."+to+".svc") && ready(now, "True") && len(stored(t, "DestinationRule", in.GetNamespace())) == rules &&
		len(stored(t, "VirtualService", from))+len(stored(t, "ServiceEntry", from))+len(passages(t, vaultNamespace)) == 0
}

// passages returns what of a namespace's gateways takes calls without a client rule.
func passages(t *testing.T, namespace string) (out []string) {
	for _, filter := range stored(t, "EnvoyFilter", namespace) {
		if filter.GetAnnotations()[hop.HostAnnotation] == "moving.example.com" {
			out = append(out, filter.GetName())
		}
	}
	return out
}

var watched = []string{"Gateway", "ServiceEntry", "VirtualService", "DestinationRule", "EnvoyFilter"}

// record leaves every state that the cluster goes through while something is done, until it is.
func record(t *testing.T, name string, do func(), done func() bool) {
	t.Helper()
	watching, err := client.NewWithWatch(shared.Config, client.Options{Scheme: shared.Client.Scheme()})
	require.NoError(t, err)
	state := map[string]*unstructured.Unstructured{}
	var mu sync.Mutex
	var events []watch.Event
	var watchers sync.WaitGroup
	var stops []func()
	stopped := false
	for _, kind := range watched {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(istioVersion(kind).WithKind(kind + "List"))
		require.NoError(t, watching.List(t.Context(), list))
		for _, object := range list.Items {
			state[key(&object)] = object.DeepCopy()
		}
		from, err := watching.Watch(t.Context(), list, &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: list.GetResourceVersion()}})
		require.NoError(t, err)
		stops = append(stops, from.Stop)
		watchers.Go(func() {
			for event := range from.ResultChan() {
				mu.Lock()
				if event.Type != watch.Error {
					events = append(events, event)
				} else if !stopped {
					t.Errorf("the watch of %s ended: %v", kind, event.Object)
				}
				mu.Unlock()
			}
		})
	}
	do()
	// Proxies are given time, twice.
	require.Eventually(t, done, 3*within, 50*time.Millisecond, name)
	mu.Lock()
	stopped = true
	mu.Unlock()
	for _, stop := range stops {
		stop()
	}
	watchers.Wait()
	replay(t, name, state, events)
}

func key(object *unstructured.Unstructured) string {
	return object.GetKind() + "/" + object.GetNamespace() + "/" + object.GetName()
}

// replay writes the state after each event, in the order in which they were stored.
func replay(t *testing.T, name string, state map[string]*unstructured.Unstructured, events []watch.Event) {
	t.Helper()
	slices.SortFunc(events, func(a, b watch.Event) int { return version(t, a) - version(t, b) })
	services := stored(t, "Service", "")
	folder, err := filepath.Abs("../../.run/moves/" + name)
	require.NoError(t, err)
	require.NoError(t, os.RemoveAll(folder))
	require.NoError(t, os.MkdirAll(folder, 0o755))
	last := ""
	for i, event := range append([]watch.Event{{}}, events...) {
		if object, of := event.Object.(*unstructured.Unstructured); of {
			if state[key(object)] = object; event.Type == watch.Deleted {
				delete(state, key(object))
			}
		}
		text := stateText(t, state, services)
		if text == last {
			continue
		}
		require.NoError(t, os.WriteFile(filepath.Join(folder, fmt.Sprintf("%03d.yaml", i)), []byte(text), 0o600))
		last = text
	}
}

func version(t *testing.T, event watch.Event) int {
	t.Helper()
	object, of := event.Object.(*unstructured.Unstructured)
	require.True(t, of, event.Object)
	out, err := strconv.Atoi(object.GetResourceVersion())
	require.NoError(t, err)
	return out
}

// stateText is a state as text, without what no proxy goes by.
func stateText(t *testing.T, state map[string]*unstructured.Unstructured, services []unstructured.Unstructured) string {
	t.Helper()
	var out strings.Builder
	add := func(object *unstructured.Unstructured) {
		object = object.DeepCopy()
		unstructured.RemoveNestedField(object.Object, "status")
		for _, field := range []string{"managedFields", "resourceVersion", "generation", "annotations", "uid"} {
			unstructured.RemoveNestedField(object.Object, "metadata", field)
		}
		raw, err := yaml.Marshal(object.Object)
		require.NoError(t, err)
		fmt.Fprintf(&out, "---\n%s", raw)
	}
	for i := range services {
		add(&services[i])
	}
	keys := make([]string, 0, len(state))
	for key := range state {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		if of := state[key]; of.GetLabels()[hop.ManagedByLabel] == hop.Manager || of.GetName() == "moving" {
			add(of)
		}
	}
	return out.String()
}
