package controller

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// observing is a mesh that observes the namespaces labelled so.
func observing(t *testing.T, mesh *egress.Mesh) *egress.Mesh {
	t.Helper()
	mesh.Governed, mesh.Observed = parsed(t, "mode notin (Observe)"), labels.Everything()
	return mesh
}

func parsed(t *testing.T, selector string) labels.Selector {
	t.Helper()
	out, err := labels.Parse(selector)
	require.NoError(t, err)
	return out
}

var observe = map[string]string{"mode": "Observe"}

// leadingOut is an entry that was stored before the webhook; held, it asks for its exit.
func leadingOut(annotations map[string]string) *networkingv1.ServiceEntry {
	out := defaultEntry("a", "TLS")
	out.Spec.Endpoints, out.Annotations = nil, annotations
	return out
}

var held = map[string]string{"egress-governor.io/exit": "Held"}

// TestTheExitOfAHeldEntryStandsBeforeItIsSealed, by either transport, and goes where it is held no more.
func TestTheExitOfAHeldEntryStandsBeforeItIsSealed(t *testing.T) {
	t.Parallel()
	for name, mesh := range map[string]*egress.Mesh{"Plain": egresstest.Mesh(), "MutualTLS": egresstest.MutualTLS()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, mesh)
			s.store(leadingOut(nil))
			s.drain()
			entries, _ := s.exit(gateways)
			assert.Empty(t, entries, "nobody asked for it")
			s.annotate(held)
			s.drain()
			entries, routes := s.exit(gateways)
			assert.Len(t, entries, 1)
			assert.Len(t, routes, 1)
			condition := s.condition("app", "a")
			assert.Equal(t, []any{"True", "ExitAhead"}, []any{condition["status"], condition["reason"]}, condition["message"])
			assert.Empty(t, s.registry.Entries(host)[0].Gateway, "routes and rules are not to follow it yet")
			s.annotate(nil)
			s.drain()
			entries, routes = s.exit(gateways)
			assert.Empty(t, entries)
			assert.Empty(t, routes)
			assert.Equal(t, "NotSealed", s.condition("app", "a")["reason"])
		})
	}
}

// TestWhatIsObservedKeepsTheExitsThatStand, and makes none.
func TestWhatIsObservedKeepsTheExitsThatStand(t *testing.T) {
	t.Parallel()
	s := newStage(t, observing(t, egresstest.Mesh()))
	s.store(defaultEntry("a", "TLS"))
	s.drain()
	s.registry.PutNamespace("app", observe)
	s.drain()
	entries, routes := s.exit(gateways)
	assert.Len(t, entries, 1, "its calls end there")
	assert.Len(t, routes, 1)

	entry := &networkingv1.ServiceEntry{}
	require.NoError(t, s.cluster.Get(t.Context(), types.NamespacedName{Namespace: "app", Name: "a"}, entry))
	entry.Spec.Endpoints, entry.Annotations = nil, held
	require.NoError(t, s.cluster.Update(t.Context(), entry))
	s.see("app", "a")
	s.drain()
	entries, _ = s.exit(gateways)
	assert.Len(t, entries, 1, "it leads straight out again, and proxies may not know yet")
	s.annotate(nil)
	s.drain()
	entries, routes = s.exit(gateways)
	assert.Empty(t, entries)
	assert.Empty(t, routes)

	s.annotate(held)
	s.drain()
	entries, _ = s.exit(gateways)
	assert.Empty(t, entries, "nobody asked a policy")
	s.store(defaultEntry("b", "TLS"))
	s.drain()
	entries, _ = s.exit(gateways)
	assert.Empty(t, entries, "nor of one that a tenant sealed by hand")
}

// TestWhatIsObservedHoldsAHostAgainstNoOther: governed entries define it, however old the others are.
func TestWhatIsObservedHoldsAHostAgainstNoOther(t *testing.T) {
	t.Parallel()
	s := newStage(t, observing(t, egresstest.Mesh()))
	s.store(defaultEntry("a", "HTTP"))
	s.registry.PutNamespace("app", observe)
	s.store(sealed("cards", "b", egresstest.GatewayService, "TLS"))
	s.drain()
	assert.Equal(t, "True", s.condition("cards", "b")["status"])
	exit := s.registry.Exit(host, gateways)
	require.Len(t, exit.Members, 1)
	assert.Equal(t, "cards", exit.Owner().Namespace)
}

// annotate writes the annotations of the entry.
func (s *stage) annotate(annotations map[string]string) {
	s.t.Helper()
	entry := &networkingv1.ServiceEntry{}
	require.NoError(s.t, s.cluster.Get(s.t.Context(), client.ObjectKey{Namespace: "app", Name: "a"}, entry))
	entry.Annotations = annotations
	require.NoError(s.t, s.cluster.Update(s.t.Context(), entry))
	s.see("app", "a")
}

// TestWhoIsObservedCallsOnByMutualTLS: the gateway lets his calls in, and the rule by which they come stands.
func TestWhoIsObservedCallsOnByMutualTLS(t *testing.T) {
	t.Parallel()
	s := newStage(t, observing(t, egresstest.MutualTLS()))
	s.registry.PutAccount("app", "default")
	s.store(byMutual("app", "a", "TLS"))
	s.drain()
	s.writes = nil
	s.registry.PutNamespace("app", observe)
	s.drain()
	assert.Equal(t, []string{"spiffe://cluster.local/ns/app/sa/default"}, s.callers())
	assert.Equal(t, []string{"app"}, s.clientRules())
	assert.Empty(t, s.writes)
}

// TestWhatIsObservedLeadsNowhereElse: nobody is asked about what is written there, and the exit that stands goes on to where it did.
func TestWhatIsObservedLeadsNowhereElse(t *testing.T) {
	t.Parallel()
	s := newStage(t, observing(t, egresstest.Mesh()))
	s.store(defaultEntry("a", "TLS"))
	s.drain()
	before, _ := s.exit(gateways)
	s.registry.PutNamespace("app", observe)
	s.drain()

	entry := &networkingv1.ServiceEntry{}
	require.NoError(t, s.cluster.Get(t.Context(), types.NamespacedName{Namespace: "app", Name: "a"}, entry))
	entry.Spec.Ports = append(entry.Spec.Ports, &networking.ServicePort{Number: 8080, Name: "more", Protocol: "HTTP"})
	entry.Spec.Endpoints[0].Ports = map[string]uint32{"p": 443, "more": 80}
	entry.Annotations = map[string]string{hop.IntentAnnotation: `[{"was":[{"address":"203.0.113.7"}],"now":[{"address":"` + egresstest.GatewayService + `","ports":{"p":443,"more":80}}],"paths":["spec.endpoints"]}]`}
	require.NoError(t, s.cluster.Update(t.Context(), entry))
	s.see("app", "a")
	s.registry.PutRule(&egress.Rule{Namespace: "app", Name: "r", Host: host, Policy: map[string]any{"tls": map[string]any{"mode": "SIMPLE"}}})
	s.drain()
	require.Equal(t, "203.0.113.7", s.registry.Exit(host, gateways).Definition.Endpoints[0].Address, "it says so")
	after, routes := s.exit(gateways)
	require.Len(t, after, 1)
	assert.Equal(t, before[0].Spec.String(), after[0].Spec.String())
	assert.Len(t, routes, 1)

	s.registry.PutNamespace("app", nil)
	s.drain()
	after, _ = s.exit(gateways)
	assert.Len(t, after[0].Spec.Ports, 2, "governed again, it counts")
}

// TestWhatIsObservedChangesNothingForOthers: it opens a port of its own, and leads and encrypts nobody else's calls.
func TestWhatIsObservedChangesNothingForOthers(t *testing.T) {
	t.Parallel()
	s := newStage(t, observing(t, egresstest.MutualTLS()))
	s.registry.PutAccount("app", "default")
	s.registry.PutAccount("shop", "default")
	s.registry.PutNamespace("shop", observe)
	s.store(byMutual("app", "a", "TLS"))
	s.drain()
	before, _ := s.exit(gateways)
	callers := s.callers()

	elsewhere := byMutual("shop", "b", "TLS")
	elsewhere.Annotations = map[string]string{hop.IntentAnnotation: `[{"now":"MESH_INTERNAL","paths":["spec.location"]},{"was":[{"address":"203.0.113.7"}],"now":[{"address":"` + egresstest.GatewayService + `"}],"paths":["spec.endpoints"]}]`}
	s.store(elsewhere)
	s.drain()
	after, _ := s.exit(gateways)
	assert.Equal(t, before[0].Spec.String(), after[0].Spec.String())
	assert.Equal(t, callers, s.callers())

	// What agrees has part in it: entries that were sealed before their namespace was observed do, and go on.
	s.store(byMutual("shop", "c", "TLS"))
	s.drain()
	after, _ = s.exit(gateways)
	assert.Equal(t, before[0].Spec.String(), after[0].Spec.String())
	assert.Equal(t, append(callers, "spiffe://cluster.local/ns/shop/sa/default"), s.callers())
}

// TestWhatIsObservedEncryptsNobodyElsesCalls: who has a port in clear is not without an exit for the rule of an observed namespace.
func TestWhatIsObservedEncryptsNobodyElsesCalls(t *testing.T) {
	t.Parallel()
	for name, of := range map[string]struct {
		protocol string
		want     []string
	}{
		"in clear":         {"HTTP", []string{"b"}},
		"apps speak it":    {"TLS", []string{"b", "a"}},
		"and so is theirs": {"HTTP", []string{"b", "a"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, observing(t, egresstest.Mesh()))
			tls := map[string]any{"tls": map[string]any{"mode": "SIMPLE"}}
			s.registry.PutRule(&egress.Rule{Namespace: "app", Name: "r", Host: host, Policy: tls})
			if len(of.want) > 1 && of.protocol == "HTTP" {
				s.registry.PutRule(&egress.Rule{Namespace: "cards", Name: "r", Host: host, Policy: tls})
			}
			s.store(defaultEntry("a", of.protocol))
			s.registry.PutNamespace("app", observe)
			s.store(sealed("cards", "b", egresstest.GatewayService, of.protocol))
			s.drain()
			var members []string
			for _, member := range s.registry.Exit(host, gateways).Members {
				members = append(members, member.Name)
			}
			assert.Equal(t, of.want, members)
			assert.Equal(t, "True", s.condition("cards", "b")["status"])
		})
	}
}
