package review

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
)

// labelled is an object after a write of metadata.
func labelled(object *unstructured.Unstructured) *unstructured.Unstructured {
	out := object.DeepCopy()
	out.SetLabels(map[string]string{"team": "payments"})
	return out
}

// TestARuleThatWasStoredBeforeIsSealedWithItsEntry: what nobody refused when it was written keeps no controller from that.
func TestARuleThatWasStoredBeforeIsSealedWithItsEntry(t *testing.T) {
	t.Parallel()
	const costly = `{host: api.example.com, trafficPolicy: {loadBalancer: {consistentHash: {useSourceIp: true, minimumRingSize: 8192}}, outlierDetection: {interval: 500ms}}}`
	want := []string{"costly-setting spec.trafficPolicy.outlierDetection.interval", "costly-setting spec.trafficPolicy.loadBalancer.consistentHash.minimumRingSize"}
	rule := destinationRule(t, costly)
	view := &egresstest.Cluster{Mesh: egresstest.Mesh(), Known: []*egress.Entry{egresstest.Sealed("api.example.com", egress.Port{Number: 80, Name: "http", Protocol: "HTTP"})}}
	r := &Reviewer{Mesh: view.Mesh, View: view, Policies: &policies{}}
	update := func(old, now *unstructured.Unstructured) *Outcome {
		req := create(now)
		req.Operation, req.Old = Update, old
		outcome, err := reviewed(t, r, req)
		require.NoError(t, err)
		return outcome
	}
	sealed := stored(t, r, create(rule)).Object
	require.NotEqual(t, rule.Object["spec"], sealed.Object["spec"])
	rewritten := update(rule, rule)
	assert.Empty(t, codes(rewritten), "its entry has come")
	for _, left := range want {
		field := strings.TrimPrefix(left, "costly-setting ")
		assert.Contains(t, strings.Join(rewritten.Changes, "\n"), field+": the egress gateway calls the host without it")
	}
	assert.Empty(t, codes(update(sealed, labelled(sealed))), "somebody has labelled it")
	assert.Equal(t, want, codes(update(sealed, destinationRule(t, strings.Replace(costly, "8192", "8193", 1)))), "its author has written it")
	view.Known = nil
	assert.Empty(t, codes(update(sealed, sealed)), "its entry has gone")
	outcome, err := r.Review(t.Context(), Request{Operation: Audit, Object: sealed, Name: "x", Namespace: create(sealed).Namespace})
	require.NoError(t, err)
	assert.Equal(t, want, codes(outcome))
}

// TestAnEntryThatWasStoredBeforeMoves, and may be labelled: its exit has no such weights, and its calls in clear are no worse off.
func TestAnEntryThatWasStoredBeforeMoves(t *testing.T) {
	t.Parallel()
	const (
		weighted = `{hosts: [api.example.com], resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}], endpoints: [{address: 203.0.113.7, weight: 9000}, {address: 203.0.113.8, weight: 1}]}`
		vault    = `{hosts: [vault.corp.net], resolution: STATIC, addresses: [203.0.113.9], ports: [{number: 8200, name: vault, protocol: HTTPS}], endpoints: [{address: 203.0.113.9}]}`
	)
	for spec, tc := range map[string]struct{ refused, internal string }{
		weighted: {refused: "costly-setting spec.endpoints[1].weight", internal: strings.Replace(weighted, "{hosts", "{location: MESH_INTERNAL, hosts", 1)},
		vault:    {refused: "own-tls spec.ports[0].protocol"},
	} {
		view := &egresstest.Cluster{Mesh: egresstest.TwoGateways()}
		for i := range view.Mesh.Gateways {
			view.Mesh.Gateways[i].Transport = egress.MutualTLS
		}
		rule := view.Mesh.ReadRule(destinationRule(t, `{host: vault.corp.net, trafficPolicy: {tls: {mode: SIMPLE}}}`))
		rule.Namespace, rule.InForce = egresstest.Namespace, true
		view.Rules = []*egress.Rule{rule}
		r := &Reviewer{Mesh: view.Mesh, View: view, Policies: &policies{}}
		review := func(req Request, old *unstructured.Unstructured) string {
			if req.Old = old; old != nil {
				req.Operation = Update
			}
			outcome, err := reviewed(t, r, req)
			require.NoError(t, err)
			return strings.Join(codes(outcome), ", ")
		}
		sealed := stored(t, r, create(entry(t, spec))).Object
		assert.Equal(t, tc.refused, review(create(sealed), nil), spec)
		assert.Empty(t, review(create(labelled(sealed)), sealed), "%s: labelled", spec)
		assert.Empty(t, review(pci(sealed), sealed), "%s: moved", spec)
		assert.Equal(t, tc.refused, review(create(entry(t, strings.Replace(spec, "{hosts", "{exportTo: [other], hosts", 1))), sealed), "%s: written", spec)
		if tc.internal != "" {
			view.Mesh.CIDRs = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}
			assert.Equal(t, tc.refused, review(create(entry(t, tc.internal)), nil))
			assert.Empty(t, review(create(labelled(entry(t, tc.internal))), entry(t, tc.internal)))
		}
	}
}

// TestAnEntryIsNoWorseByItsMove: calls in clear that a gateway by Plain turned away are not let out by one by mutual TLS.
func TestAnEntryIsNoWorseByItsMove(t *testing.T) {
	t.Parallel()
	const vault = `{hosts: [vault.corp.net], resolution: STATIC, addresses: [203.0.113.9], ports: [{number: 8200, name: vault, protocol: HTTPS}], endpoints: [{address: 203.0.113.9}]}`
	view := &egresstest.Cluster{Mesh: egresstest.TwoGateways()}
	view.Mesh.Gateways[0].Transport = egress.MutualTLS
	rule := view.Mesh.ReadRule(destinationRule(t, `{host: vault.corp.net, trafficPolicy: {tls: {mode: SIMPLE}}}`))
	rule.Namespace, rule.InForce = egresstest.Namespace, true
	view.Rules = []*egress.Rule{rule}
	r := &Reviewer{Mesh: view.Mesh, View: view, Policies: &policies{}}
	sealed := stored(t, r, create(entry(t, vault))).Object
	for _, old := range []*unstructured.Unstructured{sealed, entry(t, vault)} {
		req := pci(old)
		req.Operation, req.Old = Update, old
		form, err := sealedForm(subjectOf(t, r, req))
		require.NoError(t, err)
		req.Object = form
		outcome, err := r.Review(t.Context(), req)
		require.NoError(t, err)
		assert.Contains(t, codes(outcome), "own-tls spec.ports[0].protocol")
	}
}

func subjectOf(t *testing.T, r *Reviewer, req Request) *subject {
	t.Helper()
	out, err := r.subject(req)
	require.NoError(t, err)
	return out
}

// TestAnEndpointInTheClusterIsItsAuthorsToMend: what was stored before clusterCIDRs said so may be labelled, and moves.
func TestAnEndpointInTheClusterIsItsAuthorsToMend(t *testing.T) {
	t.Parallel()
	const spec = `{hosts: [mainframe.corp.test], resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}], endpoints: [{address: 10.1.2.3}]}`
	r := newReviewer()
	old := stored(t, r, create(entry(t, spec))).Object
	r.Mesh.ClusterCIDRs = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	update := func(now *unstructured.Unstructured) []string {
		req := create(now)
		req.Operation, req.Old = Update, old
		outcome, err := reviewed(t, r, req)
		require.NoError(t, err)
		return codes(outcome)
	}
	assert.Empty(t, update(labelled(old)))
	want := []string{"deputy-endpoint spec.endpoints[0].address"}
	assert.Equal(t, want, update(entry(t, strings.Replace(spec, "number: 80", "number: 8080", 1))))
	outcome, err := reviewed(t, r, create(entry(t, spec)))
	require.NoError(t, err)
	assert.Equal(t, want, codes(outcome))
}
