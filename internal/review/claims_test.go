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

// TestWhatAnEntryClaims: names of Services are not an entry's to take, nor is a gateway led to one; whether the entry is
// sealed makes no difference.
func TestWhatAnEntryClaims(t *testing.T) {
	t.Parallel()
	view := egresstest.NewCluster()
	for _, service := range []string{"payments.prod", "ours.payments", "collector.payments"} {
		view.Services[service+".svc.cluster.local"] = &egress.Service{}
	}
	view.Services["payments.prod.svc.cluster.local"].IPs = []netip.Addr{netip.MustParseAddr("10.0.0.51")}
	const ports = "ports: [{number: 80, name: http, protocol: HTTP}]"
	for name, tc := range map[string]struct{ spec, want string }{
		"another team's Service, internal": {`{hosts: [payments.prod], location: MESH_INTERNAL, resolution: DNS,
			endpoints: [{address: collector.payments.svc.cluster.local}], ` + ports + `}`, "service-host spec.hosts[0]"},
		"another team's Service, external": {`{hosts: [a.example.com, payments.prod], resolution: DNS, ` + ports + `}`, "service-host spec.hosts[1]"},
		"one's own Service, external":      {`{hosts: [ours.payments], resolution: DNS, ` + ports + `}`, "service-host spec.hosts[0]"},
		"one's own Service, internal": {`{hosts: [ours.payments], location: MESH_INTERNAL, resolution: DNS,
			endpoints: [{address: collector.payments.svc.cluster.local}], ` + ports + `}`, ""},
		"a pod of another team's Service, internal": {`{hosts: [db-0.payments.prod], location: MESH_INTERNAL, resolution: DNS,
			endpoints: [{address: collector.payments.svc.cluster.local}], ` + ports + `}`, "service-host spec.hosts[0]"},
		"a pod of another team's Service, external": {`{hosts: [a.example.com, db-0.payments.prod.svc], resolution: DNS, ` + ports + `}`, "deputy-host spec.hosts[1]"},
		"a pod's short name, external":              {`{hosts: [db-0.payments.prod], resolution: DNS, ` + ports + `}`, "service-host spec.hosts[0]"},
		"a pod as endpoint": {`{hosts: [a.example.com], resolution: DNS,
			endpoints: [{address: db-0.payments.prod}], ` + ports + `}`, "deputy-endpoint spec.endpoints[0].address"},
		"a Service as endpoint": {`{hosts: [a.example.com], resolution: DNS,
			endpoints: [{address: payments.prod}], ` + ports + `}`, "deputy-endpoint spec.endpoints[0].address"},
		"a Service's address as endpoint": {`{hosts: [a.example.com], resolution: STATIC,
			endpoints: [{address: "::ffff:10.0.0.51"}], ` + ports + `}`, "deputy-endpoint spec.endpoints[0].address"},
		"a Service's address, claimed": {`{hosts: [a.example.com], resolution: DNS, addresses: [10.0.0.51/32], ` + ports + `}`, "service-address spec.addresses[0]"},
		"the gateway as endpoint, short": {`{hosts: [a.example.com], resolution: DNS,
			endpoints: [{address: istio-egressgateway.istio-system}], ` + ports + `}`, "deputy-endpoint spec.endpoints[0].address"},
		"internal without proof": {`{hosts: [a.example.com], location: MESH_INTERNAL, resolution: DNS, ` + ports + `}`, "not-internal spec.endpoints"},
		"internal by the gateway, twice": {`{hosts: [a.example.com], location: MESH_INTERNAL, resolution: DNS,
			endpoints: [{address: ` + egresstest.GatewayService + `, ports: {http: 80}}, {address: ` + egresstest.GatewayService + `}], ` + ports + `}`,
			"not-internal spec.endpoints[0].address"},
		"internal, a partial wildcard": {`{hosts: ["*foo.test"], location: MESH_INTERNAL, resolution: STATIC,
			workloadSelector: {labels: {app: vm}}, ` + ports + `}`, "bad-host spec.hosts[0]"},
		"internal, the gateway's name": {`{hosts: [` + egresstest.GatewayService + `], location: MESH_INTERNAL, resolution: STATIC,
			workloadSelector: {labels: {app: vm}}, ` + ports + `}`, "service-host spec.hosts[0]"},
	} {
		for _, seal := range []bool{true, false} {
			mesh := egresstest.Mesh()
			mesh.Seal = seal
			r := &Reviewer{Mesh: mesh, View: view, Policies: &policies{}}
			req := create(entry(t, tc.spec))
			if rewritten, err := r.Rewrite(req); err == nil {
				req.Object = rewritten
			}
			outcome, err := r.Review(t.Context(), req)
			require.NoError(t, err, name)
			var got []string
			for _, finding := range outcome.Findings {
				got = append(got, finding.Code+" "+finding.Field)
			}
			assert.Equal(t, tc.want, strings.Join(got, ", "), "%s, seal %v", name, seal)
		}
	}
}
