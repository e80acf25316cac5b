package review

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
)

// TestEndpointsOfTunnels are refused, but for those that are stored already, of which no exit takes the label.
func TestEndpointsOfTunnels(t *testing.T) {
	t.Parallel()
	const (
		label = `labels: {networking.istio.io/tunnel: http}`
		of    = `{hosts: [db.test], resolution: STATIC, endpoints: [{address: 203.0.113.7}, {address: 203.0.113.8}], ports: [{number: 80, name: p, protocol: HTTP}]}`
		first = "endpoint-tunnel spec.endpoints[0].labels[networking.istio.io/tunnel]"
	)
	has := strings.Replace(of, "3.7}", "3.7, "+label+"}", 1)
	other := strings.Replace(of, "3.8}", "3.8, "+label+"}", 1)
	byRoutes := egresstest.ByRoutes()
	for name, tc := range map[string]struct {
		mesh     *egress.Mesh
		old, new string
		audited  bool
		want     string
	}{
		"new":                {new: has, want: first},
		"new, led by routes": {mesh: byRoutes, new: has, want: first},
		"added":              {old: of, new: has, want: first},
		"on another":         {old: other, new: has, want: first},
		"stored":             {old: has, new: strings.Replace(has, "80", "8080", 1)},
		"stored, audited":    {old: has, new: has, audited: true, want: first},
		"removed":            {old: has, new: of},
		"of the mesh's own":  {new: strings.Replace(has, "{hosts", "{location: MESH_INTERNAL, hosts", 1)},
	} {
		view := egresstest.NewCluster()
		view.Mesh = egresstest.Mesh()
		if tc.mesh != nil {
			view.Mesh = tc.mesh
		}
		view.Mesh.CIDRs = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}
		r := &Reviewer{Mesh: view.Mesh, View: view, Policies: &policies{}}
		req := create(entry(t, tc.new))
		if tc.old != "" {
			req.Operation, req.Old = Update, stored(t, r, create(entry(t, tc.old))).Object
		}
		if req = stored(t, r, req); tc.audited {
			req.Operation, req.Old = Audit, nil
		}
		outcome, err := r.Review(t.Context(), req)
		require.NoError(t, err, name)
		assert.Equal(t, tc.want, strings.Join(codes(outcome), ", "), name)
	}
}
