package integration

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/test/controlplane"
)

// adoption runs egressctl on the shared cluster, which what adopts wants named.
func adoption(t *testing.T, args ...string) (code int, said string) {
	t.Helper()
	return egressctl(t, append(args, "--kubeconfig", shared.Kubeconfig)...)
}

// quick has egressctl write as fast as a test wants it.
var quick = []string{"--rate", "50", "--settle", "200ms", "--timeout", "20s"}

// living is what a namespace holds before anybody governs it. HOST is a domain of its own.
const living = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api}
spec: {hosts: [api.HOST], exportTo: ["."], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: bank}
spec: {hosts: [bank.HOST], exportTo: ["."], resolution: DNS, ports: [{number: 8080, name: http, protocol: HTTP, targetPort: 443}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: bank}
spec: {host: bank.HOST, exportTo: ["."], trafficPolicy: {tls: {mode: SIMPLE, sni: bank.HOST}}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: api}
spec:
  hosts: [api.HOST]
  exportTo: ["."]
  http: [{timeout: 3s, route: [{destination: {host: api.HOST, port: {number: 80}}}]}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: tcp}
spec: {hosts: [tcp.HOST], exportTo: ["."], resolution: DNS, ports: [{number: 5432, name: tcp, protocol: TCP}]}
`

// live stores manifests in an observed namespace of its own, and returns it with what is stored.
func live(t *testing.T, host, manifests string) (ns string, objects []*unstructured.Unstructured) {
	t.Helper()
	ns = namespace(t, labelled(observed, "living"))
	objects, err := controlplane.Decode(strings.NewReader(strings.ReplaceAll(manifests, "HOST", host)))
	require.NoError(t, err)
	for _, object := range objects {
		object.SetNamespace(ns)
		require.NoError(t, shared.Client.Create(t.Context(), object))
	}
	return ns, objects
}

// specs are those of objects as they are stored now.
func specs(t *testing.T, of []*unstructured.Unstructured) (out []any) {
	t.Helper()
	for _, object := range of {
		out = append(out, get(t, object).Object["spec"])
	}
	return out
}

func isSealed(entry *unstructured.Unstructured) bool {
	return strings.Contains(fmt.Sprint(entry.Object["spec"]), controlplane.GatewayService)
}

// exitOf says whether the gateway's namespace has routes of a host.
func exitOf(t *testing.T, host string) bool {
	t.Helper()
	for _, routes := range stored(t, "VirtualService", controlplane.GatewayNamespace) {
		if routes.GetAnnotations()[hop.HostAnnotation] == host {
			return true
		}
	}
	return false
}

// TestALivingNamespaceIsAdopted from mode Observe on, and goes back to what its authors wrote.
func TestALivingNamespaceIsAdopted(t *testing.T) {
	t.Parallel()
	ns, objects := live(t, "living.test", living)
	written := specs(t, objects)
	code, said := adoption(t, "adopt", "-n", ns)
	assert.Equal(t, 1, code, said)
	assert.Contains(t, said, "2 entries to seal, 0 sealed, 2 other objects to rewrite, 1 left as they are")
	assert.Contains(t, said, "raw-protocol")
	assert.Equal(t, written, specs(t, objects), "a plan writes nothing")

	order := recorded(t, ns)
	code, said = adoption(t, append([]string{"adopt", "-n", ns, "--apply"}, quick...)...)
	assert.Equal(t, 1, code, said)
	assert.Contains(t, said, "Back: egressctl unseal "+ns)
	for _, entry := range objects[:2] {
		now := get(t, entry)
		assert.True(t, isSealed(now) && ready(now, "True") && !hop.Held(now), "%s: %v", now.GetName(), now.Object)
	}
	assert.Contains(t, get(t, objects[2]).GetAnnotations(), hop.IntentAnnotation, "the rule is the exit's by now")
	assert.Contains(t, get(t, objects[3]).GetAnnotations(), hop.IntentAnnotation, "the route is injected")
	assert.Equal(t, written[4], get(t, objects[4]).Object["spec"], "what cannot be sealed is untouched")
	order.exitsCameFirst(t, "api.living.test", "bank.living.test")
	code, said = adoption(t, append([]string{"adopt", "-n", ns, "--apply"}, quick...)...)
	assert.Equal(t, 1, code, said)
	assert.Contains(t, said, "0 entries to seal, 2 sealed", "what is done is done")

	code, said = adoption(t, append([]string{"unseal", ns, "--apply"}, quick...)...)
	assert.Equal(t, 2, code, said)
	assert.Contains(t, said, "the webhook would seal again what goes back")
	patch(t, &corev1.Namespace{ObjectMeta: named("", ns)}, `{"metadata":{"labels":{"egress-governor.io/mode":"Observe"}}}`)
	code, said = adoption(t, append([]string{"unseal", ns + "/bank", "--apply"}, quick...)...)
	assert.Equal(t, 0, code, said)
	for i, object := range objects[:3] {
		assert.Equal(t, i == 0, !equality.Semantic.DeepEqual(written[i], get(t, object).Object["spec"]), "one alone goes back, with the rule of its host: %s", object.GetName())
	}
	eventually(t, func() bool { return !exitOf(t, "bank.living.test") }, "nobody needs its exit")
	assert.True(t, exitOf(t, "api.living.test"))
	code, said = adoption(t, append([]string{"unseal", ns, "--apply"}, quick...)...)
	assert.Equal(t, 0, code, said)
	assert.Contains(t, said, "as their authors wrote them.")
	assert.Equal(t, written, specs(t, objects), "as it was written")
	for _, object := range objects {
		assert.Empty(t, get(t, object).GetAnnotations())
	}
	order.exitsStayedUntilUnsealed(t, "api.living.test", "bank.living.test")
	eventually(t, func() bool { return !exitOf(t, "api.living.test") && !exitOf(t, "bank.living.test") }, "nobody needs the exits")
	code, said = adoption(t, "unseal", ns)
	assert.Equal(t, 0, code)
	assert.Contains(t, said, "0 objects to write")
}

// TestAnAdoptionThatIsInterruptedGoesOn where it was, and in between nothing is half.
func TestAnAdoptionThatIsInterruptedGoesOn(t *testing.T) {
	t.Parallel()
	const many = 6
	ns, objects := live(t, "interrupted.test", entriesOf(many))
	order := recorded(t, ns)
	for _, until := range []int{1, many + 2} {
		order.interrupted(t, until)
		for _, entry := range objects {
			now := get(t, entry)
			assert.True(t, isSealed(now) || fmt.Sprint(now.Object["spec"]) == fmt.Sprint(entry.Object["spec"]), "straight or sealed, and nothing between: %v", now.Object["spec"])
		}
	}
	assert.Positive(t, sealedOf(t, objects), "the second was interrupted while it sealed")
	code, said := adoption(t, append([]string{"adopt", "-n", ns, "--apply"}, quick...)...)
	assert.Equal(t, 0, code, said)
	assert.Equal(t, many, sealedOf(t, objects))
	var hosts []string
	for i := range many {
		hosts = append(hosts, fmt.Sprintf("e%d.interrupted.test", i))
	}
	order.exitsCameFirst(t, hosts...)
}

// TestAnAdoptionThatIsInterruptedGoesBack from wherever it was: with entries that are held, and with some that are sealed.
func TestAnAdoptionThatIsInterruptedGoesBack(t *testing.T) {
	t.Parallel()
	const many = 4
	for domain, until := range map[string]int{"held-back.test": 2, "sealed-back.test": many + 2} {
		ns, objects := live(t, domain, entriesOf(many))
		written := specs(t, objects)
		recorded(t, ns).interrupted(t, until)
		assert.Equal(t, until > many, sealedOf(t, objects) > 0)
		patch(t, &corev1.Namespace{ObjectMeta: named("", ns)}, `{"metadata":{"labels":{"egress-governor.io/mode":"Observe"}}}`)
		code, said := adoption(t, append([]string{"unseal", ns, "--apply"}, quick...)...)
		assert.Equal(t, 0, code, said)
		assert.Equal(t, written, specs(t, objects), "as it was written")
		for i, object := range objects {
			assert.Empty(t, get(t, object).GetAnnotations())
			eventually(t, func() bool { return !exitOf(t, fmt.Sprintf("e%d.%s", i, domain)) }, "nobody needs the exits")
		}
	}
}

// TestAnAdoptionIsNoFasterThanItsRate, by what was stored when.
func TestAnAdoptionIsNoFasterThanItsRate(t *testing.T) {
	t.Parallel()
	const many, rate = 4, 4
	ns, _ := live(t, "rate.test", entriesOf(many))
	order := recorded(t, ns)
	code, said := adoption(t, "adopt", "-n", ns, "--apply", "--rate", fmt.Sprint(rate), "--settle", "0s")
	require.Equal(t, 0, code, said)
	eventually(t, func() bool { return order.written() == 2*many }, "each is held, and sealed")
	order.mu.Lock()
	defer order.mu.Unlock()
	took := order.last.Sub(order.first)
	assert.GreaterOrEqual(t, took, (2*many-1)*time.Second/rate-200*time.Millisecond, "but for how late a watch may be with the first")
	t.Logf("%d writes in %s", 2*many, took)
}

// entriesOf are manifests of some entries.
func entriesOf(many int) string {
	var out strings.Builder
	for i := range many {
		fmt.Fprintf(&out, "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: e%d}\nspec: {hosts: [e%d.HOST], exportTo: [.], resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}\n", i, i)
	}
	return out.String()
}

func sealedOf(t *testing.T, entries []*unstructured.Unstructured) (out int) {
	t.Helper()
	for _, entry := range entries {
		if isSealed(get(t, entry)) {
			out++
		}
	}
	return out
}

// interrupted adopts the namespace until so many writes were seen in it.
func (h *history) interrupted(t *testing.T, until int) {
	t.Helper()
	binary, err := built()
	require.NoError(t, err)
	var said bytes.Buffer
	cmd := exec.CommandContext(t.Context(), binary, "adopt", "-n", h.ns, "--apply", "--rate", "4", "--settle", "100ms", "--kubeconfig", shared.Kubeconfig)
	cmd.Stderr = &said
	require.NoError(t, cmd.Start())
	eventually(t, func() bool { return h.written() >= until }, "it has begun")
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	require.Error(t, cmd.Wait())
	assert.Equal(t, 2, cmd.ProcessState.ExitCode(), said.String())
	assert.Contains(t, said.String(), "run this again to go on")
}

// byHand is the hop of Istio's guides.
const byHand = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: hop}
spec: {hosts: [hop.HOST], exportTo: ["."], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: hop}
spec: {selector: {istio: egressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [hop.HOST]}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: hop}
spec: {host: istio-egressgateway.istio-system.svc.cluster.local, exportTo: ["."], subsets: [{name: hop}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: hop}
spec:
  hosts: [hop.HOST]
  exportTo: ["."]
  gateways: [mesh, hop]
  http:
  - match: [{gateways: [mesh], port: 80}]
    route: [{destination: {host: istio-egressgateway.istio-system.svc.cluster.local, subset: hop, port: {number: 80}}}]
  - match: [{gateways: [hop], port: 80}]
    route: [{destination: {host: hop.HOST, port: {number: 80}}}]
`

// TestHopsThatWereWrittenByHandAreRetired once a sealed entry works, and can be had back.
func TestHopsThatWereWrittenByHandAreRetired(t *testing.T) {
	t.Parallel()
	ns, objects := live(t, "by-hand.test", byHand)
	file := filepath.Join(t.TempDir(), "retired.yaml")
	code, said := adoption(t, append([]string{"adopt", "-n", ns, "--apply", "--retire", file}, quick...)...)
	require.Equal(t, 0, code, said)
	assert.True(t, ready(get(t, objects[0]), "True"))
	for _, object := range objects[1:] {
		err := shared.Client.Get(t.Context(), client.ObjectKeyFromObject(object), object.DeepCopy())
		require.True(t, apierrors.IsNotFound(err), "%s: %v", object.GetKind(), err)
	}
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	back, err := controlplane.Decode(bytes.NewReader(raw))
	require.NoError(t, err)
	require.Len(t, back, 3)
	assert.Equal(t, "VirtualService", back[2].GetKind(), "after what they bind to")
	for _, object := range back {
		require.NoError(t, shared.Client.Create(t.Context(), object), "it can be applied back")
	}
}

// TestWhatAnAuthorChangesInBetweenIsNotWrittenOver: a plan is of what it saw.
func TestWhatAnAuthorChangesInBetweenIsNotWrittenOver(t *testing.T) {
	t.Parallel()
	ns, objects := live(t, "changed.test", byHand)
	order := recorded(t, ns)
	binary, err := built()
	require.NoError(t, err)
	var said bytes.Buffer
	cmd := exec.CommandContext(t.Context(), binary, "adopt", "-n", ns, "--apply", "--rate", "50", "--settle", "3s", "--kubeconfig", shared.Kubeconfig)
	cmd.Stderr = &said
	require.NoError(t, cmd.Start())
	eventually(t, func() bool { return order.written() >= 1 && exitOf(t, "hop.changed.test") }, "it is held")
	patch(t, objects[0], `{"spec":{"hosts":["hop.changed.test","other.changed.test"]}}`)
	require.Error(t, cmd.Wait())
	assert.Contains(t, said.String(), "somebody changed it since the plan was made")
	now := get(t, objects[0])
	assert.True(t, isSealed(now), "whoever changes it has it sealed, held or not")
	assert.Contains(t, fmt.Sprint(now.Object["spec"]), "other.changed.test")
}

// TestWhoAppliesByServerSideGoesOnApplying what was adopted: the fields that were rewritten are his, and nobody else's to be in conflict with.
func TestWhoAppliesByServerSideGoesOnApplying(t *testing.T) {
	t.Parallel()
	text := strings.ReplaceAll(living, "resolution: DNS, ports: [{number: 8080", "location: MESH_EXTERNAL, resolution: DNS, endpoints: [{address: other.HOST}], ports: [{number: 8080")
	for domain, gateway := range map[string]string{"applied-plain.test": "", "applied-vault.test": "vault"} {
		ns := namespace(t, map[string]string{"egress-governor.io/mode": "Observe", "egress": gateway})
		objects, err := controlplane.Decode(strings.NewReader(strings.ReplaceAll(text, "HOST", domain)))
		require.NoError(t, err)
		apply := func() {
			for _, object := range objects[:4] {
				object.SetNamespace(ns)
				//nolint:staticcheck // the typed apply needs a generated configuration of each kind
				require.NoError(t, shared.Client.Patch(t.Context(), object.DeepCopy(), client.Apply, client.FieldOwner("author")), "%s %s", object.GetKind(), object.GetName())
			}
		}
		apply()
		_, said := adoption(t, append([]string{"adopt", "-n", ns, "--apply"}, quick...)...)
		require.Contains(t, said, "Namespace "+ns+": 2 sealed", said)
		apply()
		for _, object := range objects[:3] {
			assert.Contains(t, get(t, object).GetAnnotations(), hop.IntentAnnotation, "%s %s of %s", object.GetKind(), object.GetName(), domain)
		}
		patch(t, &corev1.Namespace{ObjectMeta: named("", ns)}, `{"metadata":{"labels":{"egress-governor.io/mode":"Observe"}}}`)
		code, said := adoption(t, append([]string{"unseal", ns, "--apply"}, quick...)...)
		require.Equal(t, 0, code, said)
		apply()
	}
}
