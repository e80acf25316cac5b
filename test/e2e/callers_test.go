//go:build e2e

package e2e

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// copied returns the stored entry of vault-a as somebody takes it to another namespace.
func (c *cluster) copied(t *testing.T, namespace string) *unstructured.Unstructured {
	t.Helper()
	entry := c.decoded(t, vaultA, entry("safe", safe, safePorts))[0]
	require.NoError(t, c.Get(t.Context(), client.ObjectKeyFromObject(entry), entry))
	require.NotEmpty(t, entry.GetAnnotations(), "with what remembers its intent")
	out := &unstructured.Unstructured{Object: map[string]any{"spec": entry.Object["spec"]}}
	out.SetGroupVersionKind(entry.GroupVersionKind())
	out.SetName(entry.GetName())
	out.SetNamespace(namespace)
	out.SetAnnotations(entry.GetAnnotations())
	return out
}

// TestACopiedEntryIsJudged: what is stored sealed in one namespace is an entry like any other in the next.
func TestACopiedEntryIsJudged(t *testing.T) {
	shared.applied(t, vaultA, entry("safe", safe, safePorts))
	shared.arrives(t, vaultA, web(safe), 80, "")
	shared.applied(t, vaultC, "---\napiVersion: egress-governor.io/v1alpha1\nkind: EgressPolicy\nmetadata: {name: e2e-nothing}\n"+
		"spec: {match: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: vault-c}}}, policy: allowed-hosts, parameters: {hosts: ['nothing.test']}}\n")
	copied := shared.copied(t, vaultC)
	t.Cleanup(func() { shared.deleted(t, copied) })
	var denial error
	require.Eventually(t, func() bool {
		denial = shared.apply(t.Context(), copied)
		if denial == nil {
			shared.deleted(t, copied)
		}
		return denial != nil
	}, startWithin, poll, "the policy is in force a moment after it is stored")
	require.ErrorContains(t, denial, `e2e-nothing: spec.hosts[0]: host "safe.partner.test" is not allowed`)
	shared.fails(t, vaultC, web(safe))
	shared.refused(t, vaultC, web(safe))
}

// handMade is a client leg like the webhook's own, in a namespace that it does not answer for.
const handMade = `---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: hand-made}
spec:
  host: safe.partner.test
  exportTo: ['.']
  trafficPolicy:
    portLevelSettings:
    - port: {number: 443}
      tls: {mode: ISTIO_MUTUAL, sni: p443.safe.partner.test.port.egress-governor.internal, subjectAltNames: [spiffe://cluster.local/ns/egress-governor-gateway/sa/egress-governor-gateway]}
    - port: {number: 5432}
      tls: {mode: ISTIO_MUTUAL, sni: p5432.safe.partner.test.port.egress-governor.internal, subjectAltNames: [spiffe://cluster.local/ns/egress-governor-gateway/sa/egress-governor-gateway]}
`

// TestWhoPassesAdmissionIsStoppedAtTheGateway: with the objects of a client, stored past the webhook, and no entry that
// counts, every call ends at the gateway.
func TestWhoPassesAdmissionIsStoppedAtTheGateway(t *testing.T) {
	shared.applied(t, vaultA, entry("safe", safe, safePorts))
	for _, o := range safeCalls {
		shared.arrives(t, vaultA, o, o.Port, "")
	}
	shared.labelled(t, vaultC, `"true"`)
	objects := append(shared.decoded(t, vaultC, handMade), shared.copied(t, vaultC))
	t.Cleanup(func() {
		shared.deleted(t, objects...)
		shared.labelled(t, vaultC, "null")
	})
	require.Eventually(t, func() bool {
		// The API server learns of the label a moment later.
		for _, object := range objects {
			if shared.apply(t.Context(), object) != nil {
				return false
			}
		}
		rule := objects[0].DeepCopy()
		return shared.Get(t.Context(), client.ObjectKeyFromObject(rule), rule) == nil && len(rule.GetAnnotations()) == 0
	}, startWithin, poll)
	shared.becomes(t, vaultC, web(safe), forbidden)
	for _, o := range safeCalls[1:] {
		shared.becomes(t, vaultC, o, closed)
	}
	for _, o := range safeCalls {
		shared.arrives(t, vaultA, o, o.Port, "")
	}
}

// labelled exempts a namespace, or no longer.
func (c *cluster) labelled(t *testing.T, namespace, exempt string) {
	t.Helper()
	object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	patch := []byte(`{"metadata":{"labels":{"` + exemption + `":` + exempt + `}}}`)
	require.NoError(t, c.Patch(context.WithoutCancel(t.Context()), object, client.RawPatch(types.MergePatchType, patch)))
}

// TestAStolenNameIsNotStored: a governed namespace gives its calls no name that only egress-governor gives: neither those to
// a host of its own, nor to one that it shares, nor to the gateway itself, and in no order.
func TestAStolenNameIsNotStored(t *testing.T) {
	stolen := func(host string) *unstructured.Unstructured {
		out := shared.decoded(t, vaultB, rule("stolen", `{host: `+host+`, exportTo: ['.'], trafficPolicy: {portLevelSettings: [
			{port: {number: 80}, tls: {mode: ISTIO_MUTUAL, sni: `+sniOf(5432)+`}}, {port: {number: 443}, tls: {mode: ISTIO_MUTUAL, sni: `+sniOf(5432)+`}}]}}`))[0]
		t.Cleanup(func() { shared.deleted(t, out) })
		return out
	}
	shared.applied(t, vaultA, entry("safe", safe+"'], exportTo: ['.", safePorts))
	require.NoError(t, shared.apply(t.Context(), stolen(safe)), "there is no such host for the namespace")
	own80 := shared.decoded(t, vaultB, entry("safe", safe+"'], exportTo: ['.", withPorts("{number: 80, name: http, protocol: HTTP}")))[0]
	require.ErrorContains(t, shared.apply(t.Context(), own80), "ISTIO_MUTUAL speaks the mesh's own TLS")
	shared.deleted(t, stolen(safe))
	shared.applied(t, vaultB, entry("safe", safe+"'], exportTo: ['.", withPorts("{number: 80, name: http, protocol: HTTP}")))
	require.ErrorContains(t, shared.apply(t.Context(), stolen(safe)), "ISTIO_MUTUAL speaks the mesh's own TLS")
	require.ErrorContains(t, shared.apply(t.Context(), stolen(own.service())), "has settings of its own for how it is called")
	shared.arrives(t, vaultB, web(safe), 80, "")
	shared.refused(t, vaultB, tcp(safe, 5432))
}

// TestServiceAccountsNarrow: of a namespace, those that the entry lists may call.
func TestServiceAccountsNarrow(t *testing.T) {
	narrowed := shared.decoded(t, vaultA, entry("safe", safe, safePorts))[0]
	narrowed.SetAnnotations(map[string]string{"egress-governor.io/service-accounts": "clerk"})
	require.NoError(t, shared.apply(t.Context(), narrowed))
	t.Cleanup(func() { shared.deleted(t, narrowed) })
	shared.exitReady(t, narrowed)
	for _, o := range safeCalls {
		shared.arrives(t, clerk, o, o.Port, "")
	}
	shared.becomes(t, vaultA, web(safe), forbidden)
	for _, o := range safeCalls[1:] {
		shared.refusedSaying(t, vaultA, o, closed)
	}
}

// TestALaterServiceAccountIsLetIn without anybody's doing.
func TestALaterServiceAccountIsLetIn(t *testing.T) {
	shared.applied(t, vaultA, entry("safe", safe, safePorts))
	shared.arrives(t, vaultA, webs(safe), 443, "")
	later := podOf(vaultA, "later", probeImage(), "app")
	later.Spec.ServiceAccountName = "later"
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: vaultA, Name: "later"}}
	require.NoError(t, shared.Create(t.Context(), account))
	require.NoError(t, shared.Create(t.Context(), later))
	t.Cleanup(func() { shared.gone(t, later, account) })
	address, err := shared.started(t.Context(), later)
	require.NoError(t, err)
	shared.apps[vaultA+"/later"] = address
	for _, o := range safeCalls {
		shared.arrives(t, vaultA+"/later", o, o.Port, "")
	}
}

// TestTheLastEntryClosesTheDoor: with a certificate of a client of before, past its sidecar.
func TestTheLastEntryClosesTheDoor(t *testing.T) {
	shared.applied(t, vaultC, entry("safe", safe, safePorts))
	calls := []order{
		{Protocol: "http", Host: safe, Port: 80, Dial: shared.doors(t, 80)[0], Hop: safe},
		{Protocol: "tls", Host: safe, Port: 443, Dial: shared.doors(t, 443)[0], Hop: sniOf(443)},
		{Protocol: "tcp", Host: safe, Port: 5432, Dial: shared.doors(t, 443)[0], Hop: sniOf(5432)},
	}
	for _, o := range calls {
		shared.arrives(t, thief, o, o.Port, "")
	}
	shared.deleted(t, shared.decoded(t, vaultC, entry("safe", safe, safePorts))...)
	for _, o := range calls {
		shared.fails(t, thief, o)
		shared.refusedSaying(t, thief, o, closed+"|connection refused|404 Not Found")
	}
}
