package review

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/policy"
)

// TestOneAnswer: what matters is said, and nothing that leads in circles beside it.
func TestOneAnswer(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string]string{
		// As people write for a database: each further sentence would be about a thing that does not help.
		`{hosts: ["*.db.test"], addresses: [10.0.0.0/8], ports: [{number: 5432, name: db, protocol: TCP}]}`:             "raw-protocol spec.ports[0].protocol",
		`{hosts: ["*.db.test"], resolution: DYNAMIC_DNS, ports: [{number: 443, name: tls, protocol: TLS}]}`:             "bare-wildcard spec.hosts[0]",
		`{hosts: [127.0.0.1], ports: [{number: 443, name: tls, protocol: TLS}]}`:                                        "deputy-host spec.hosts[0]",
		`{hosts: [192.0.2.7], ports: [{number: 443, name: tls, protocol: TLS}]}`:                                        "ip-host spec.hosts[0]",
		`{hosts: [vm.test], location: MESH_INTERNAL, ports: [{number: 80, name: http, protocol: HTTP}]}`:                "not-internal spec.resolution",
		`{hosts: [made-up.test], addresses: [192.0.2.7, 192.0.2.8], ports: [{number: 80, name: http, protocol: HTTP}]}`: "addresses-without-resolution spec.resolution",
		// Two things that are wrong for themselves.
		`{hosts: [a.test], resolution: STATIC, ports: [{number: 5432, name: db, protocol: TCP}, {number: 80, name: db, protocol: HTTP}]}`: "raw-protocol spec.ports[0].protocol, bad-port spec.ports[1].name, static-without-endpoints spec.resolution",
	} {
		outcome, err := newReviewer().Review(t.Context(), create(entry(t, spec)))
		require.NoError(t, err)
		assert.ElementsMatch(t, strings.Split(want, ", "), codes(outcome), spec)
	}
}

// TestSeveralGateways: an entry reaches no namespace that leaves by another.
func TestSeveralGateways(t *testing.T) {
	t.Parallel()
	view := &egresstest.Cluster{Leaving: map[string]string{"cards": "pci", "other": "default"}}
	for exportTo, want := range map[string]struct{ finding, stored string }{
		``:                                 {"", "."},
		`exportTo: ["."],`:                 {"", "."},
		`exportTo: [other, later],`:        {"", "other later"},
		`exportTo: ["*"],`:                 {"other-gateway spec.exportTo[0]", "*"},
		`exportTo: [other, cards],`:        {"other-gateway spec.exportTo[1]", "other cards"},
		`exportTo: [other, istio-system],`: {"", "other"},
	} {
		r := &Reviewer{Mesh: egresstest.TwoGateways(), View: view, Policies: &policies{}}
		req := stored(t, r, create(entry(t, `{hosts: [a.test], `+exportTo+` resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}`)))
		outcome, err := r.Review(t.Context(), req)
		require.NoError(t, err)
		assert.Equal(t, want.finding, strings.Join(codes(outcome), ", "), exportTo)
		var have []string
		for _, namespace := range listOf(req.Object, "exportTo") {
			have = append(have, namespace.(string))
		}
		assert.Equal(t, want.stored, strings.Join(have, " "), exportTo)
	}
	one := &Reviewer{Mesh: egresstest.Mesh(), View: view, Policies: &policies{}}
	assert.Empty(t, listOf(stored(t, one, create(entry(t, https))).Object, "exportTo"))
}

// TestForwardProxies are refused where they are called so, and told of by the number of the port, where they are declared HTTP.
func TestForwardProxies(t *testing.T) {
	t.Parallel()
	for port, want := range map[string]struct {
		verdict Verdict
		told    bool
	}{
		"{number: 8080, name: http-proxy, protocol: HTTP}": {Refused, false}, "{number: 3128, name: squid, protocol: HTTP}": {Allowed, true},
		"{number: 80, name: http, protocol: HTTP}": {Allowed, false}, "{number: 443, name: tls-proxy, protocol: TLS}": {Allowed, false},
	} {
		r := newReviewer()
		outcome, err := r.Review(t.Context(), stored(t, r, create(entry(t, `{hosts: [p.test], resolution: DNS, ports: [`+port+`]}`))))
		require.NoError(t, err)
		require.Equal(t, want.verdict, outcome.Verdict, port)
		assert.Equal(t, want.told, strings.Contains(strings.Join(outcome.Changes, " "), "forward proxy"), port)
	}
}

// TestTheBaselineSaysNothingTwice: what a refusal says of a field is enough, and what others' policies say stays.
func TestTheBaselineSaysNothingTwice(t *testing.T) {
	t.Parallel()
	denied := []policy.Violation{
		{Policy: "baseline-mesh-hosts", Library: "mesh-hosts", Field: "spec.hosts[0]", Message: "no"},
		{Policy: "baseline-mesh-hosts", Library: "mesh-hosts", Field: "spec.hosts[1]", Message: "no"},
		{Policy: "baseline-require-egress-gateway", Library: "require-egress-gateway", Field: "spec.ports[0]", Message: "no"},
		{Policy: "baseline-honest-endpoints", Library: "honest-endpoints", Field: "spec.resolution", Code: "client-resolution", Message: "no"},
		{Policy: "baseline-gateway-binding", Library: "gateway-binding", Field: "spec.endpoints[0]", Message: "no"},
		{Policy: "baseline-honest-endpoints", Library: "honest-endpoints", Field: "spec.location", Code: "not-internal", Message: "no"},
		{Policy: "own", Library: "require-egress-gateway", Field: "spec.hosts[0]", Message: "no"},
	}
	policiesOf := func(spec string) (out []string) {
		r := newReviewer()
		r.Policies = &policies{decision: policy.Decision{Denied: slices.Clone(denied)}}
		req := create(entry(t, spec))
		if rewritten, err := r.Rewrite(req); err == nil {
			req.Object = rewritten
		}
		outcome, err := r.Review(t.Context(), req)
		require.NoError(t, err)
		for _, finding := range outcome.Of(Denied) {
			out = append(out, finding.Policy+" "+finding.Field)
		}
		return out
	}
	assert.Equal(t, []string{"baseline-mesh-hosts spec.hosts[1]", "baseline-gateway-binding spec.endpoints[0]", "baseline-honest-endpoints spec.location", "own spec.hosts[0]"}, policiesOf(`{hosts: [127.0.0.1], ports: [{number: 443, name: tls, protocol: TLS}]}`))
	assert.Equal(t, []string{"baseline-mesh-hosts spec.hosts[0]", "baseline-mesh-hosts spec.hosts[1]", "own spec.hosts[0]"},
		policiesOf(`{hosts: [a.test], location: MESH_INTERNAL, resolution: DNS, endpoints: [{address: b.test}], ports: [{number: 443, name: tls, protocol: TLS}]}`), "of a part of the field, and by its code")
	assert.Len(t, policiesOf(https), 7)
}

// TestWhatAFixAsksForIsNotRefusedThere: whoever is sent to a gateway by MutualTLS is told at once what else would be wrong there.
func TestWhatAFixAsksForIsNotRefusedThere(t *testing.T) {
	t.Parallel()
	for _, spec := range []string{
		`addresses: [203.0.113.0/24], resolution: NONE`, `addresses: [203.0.113.7, 203.0.113.8], resolution: NONE`, `resolution: STATIC`,
		`resolution: NONE, endpoints: [{address: 203.0.113.7}]`, `resolution: DYNAMIC_DNS`, `resolution: DNS`,
	} {
		in := `{hosts: [ssh.corp.test], ` + spec + `, ports: [{number: 22, name: ssh, protocol: TCP}]}`
		r := newReviewer()
		plain, err := r.Review(t.Context(), create(entry(t, in)))
		require.NoError(t, err)
		assert.Contains(t, plain.Findings[0].Fix, "with transport MutualTLS", in)
		r = &Reviewer{Mesh: egresstest.MutualTLS(), View: &egresstest.Cluster{Mesh: egresstest.MutualTLS()}, Policies: &policies{}}
		mutual, err := r.Review(t.Context(), create(entry(t, in)))
		require.NoError(t, err)
		for _, code := range codes(mutual) {
			if code != "not-sealed spec.endpoints" && !strings.HasPrefix(code, "unreached-address") {
				assert.Contains(t, codes(plain), code, in)
			}
		}
	}
}
