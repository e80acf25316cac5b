package review

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// TestAGatewayOnTheEgressGatewaysPods: what it opens there, and what is bound to it already. Any other is nobody's business
// here.
func TestAGatewayOnTheEgressGatewaysPods(t *testing.T) {
	t.Parallel()
	const server = "servers: [{port: {number: 443, name: tls, protocol: TLS}, hosts: [a.test], tls: {mode: ISTIO_MUTUAL}}]}"
	for name, tc := range map[string]struct {
		spec    string
		decides map[string][]string
		want    []string
	}{
		"an ingress gateway": {"{selector: {istio: ingressgateway}, " + server, map[string][]string{egresstest.Namespace + "/x": {"payments/app"}}, nil},
		"its TLS port":       {"{selector: {istio: egressgateway}, " + server, nil, []string{"gateway-port spec.servers[0].port"}},
		"nothing taken":      {"{selector: {istio: egressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]}", nil, nil},
		"routes that wait": {
			"{selector: {istio: egressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]}",
			map[string][]string{egresstest.Namespace + "/x": {"payments/taker"}}, []string{"gateway-route spec.selector"},
		},
	} {
		view := egresstest.NewCluster()
		view.Decides = tc.decides
		r := &Reviewer{Mesh: egresstest.Mesh(), View: view, Policies: &policies{}}
		in := entry(t, tc.spec)
		in.SetKind("Gateway")
		req := stored(t, r, create(in))
		assert.Equal(t, in, req.Object, name+": it is not rewritten")
		outcome, err := r.Review(t.Context(), req)
		require.NoError(t, err, name)
		assert.Equal(t, tc.want, codes(outcome), name)
		for _, finding := range outcome.Findings {
			if finding.Code == hop.CodeGatewayRoute {
				assert.Contains(t, finding.Fix, "spec.gateways and of each match.gateways", "either has them decide")
			}
		}
	}
}

// TestAGatewayOfPodsThatNobodyKnows is stored, and it is said what was not looked at.
func TestAGatewayOfPodsThatNobodyKnows(t *testing.T) {
	t.Parallel()
	for selector, want := range map[string]bool{"{istio: egressgateway, app: egress}": true, "{istio: egressgateway}": false, "{istio: ingressgateway, app: egress}": false} {
		for _, pods := range [][]map[string]string{nil, {{"istio": "egressgateway"}}} {
			view := egresstest.NewCluster()
			view.InGatewayNamespaces = pods
			r := &Reviewer{Mesh: egresstest.Mesh(), View: view, Policies: &policies{}}
			in := entry(t, "{selector: "+selector+", servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]}")
			in.SetKind("Gateway")
			outcome, err := r.Review(t.Context(), stored(t, r, create(in)))
			require.NoError(t, err)
			assert.Equal(t, want && pods == nil, len(outcome.Changes) > 0, "%s %v: %v", selector, pods, outcome.Changes)
		}
	}
}
