package review

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/hop"
)

func mutual() (*Reviewer, *egresstest.Cluster) {
	view := egresstest.NewMutualCluster()
	view.Leaving = map[string]string{egresstest.Namespace: "default"}
	return &Reviewer{Mesh: view.Mesh, View: view, Policies: &policies{}}, view
}

// TestByMutualTLS says what a gateway takes that knows who calls, and what it takes no more.
func TestByMutualTLS(t *testing.T) {
	t.Parallel()
	const web = `ports: [{number: 80, name: http, protocol: HTTP}]`
	for name, tc := range map[string]struct {
		object *unstructured.Unstructured
		want   string
	}{
		"a database":        {entry(t, `{hosts: [db.new.com], resolution: DNS, ports: [{number: 5432, name: db, protocol: TCP}]}`), ""},
		"several TLS ports": {entry(t, `{hosts: [mq.new.com], resolution: DNS, ports: [{number: 443, name: a, protocol: TLS}, {number: 5671, name: b, protocol: TLS}]}`), ""},
		"UDP":               {entry(t, `{hosts: [db.new.com], resolution: DNS, ports: [{number: 53, name: dns, protocol: UDP}]}`), "raw-protocol spec.ports[0].protocol"},
		"two databases":     {entry(t, `{hosts: [db.new.com, db2.new.com], resolution: DNS, ports: [{number: 5432, name: db, protocol: TCP}]}`), "tcp-port-taken spec.ports[0].number"},
		"accounts":          {annotated(entry(t, `{hosts: [db.new.com], resolution: DNS, `+web+`}`), "a, shop/b"), ""},
		"bad accounts":      {annotated(entry(t, `{hosts: [db.new.com], resolution: DNS, `+web+`}`), "a,,b"), "service-accounts metadata.annotations[egress-governor.io/service-accounts]"},
		"the gateway's Service": {
			routes(t, `{hosts: [local], http: [{route: [{destination: {host: `+egresstest.GatewayService+`}}]}]}`),
			"gateway-destination spec.http[0].route[0].destination.host",
		},
		"the hop of the guides, client's side": {
			routes(t, `{hosts: [api.example.com], http: [{match: [{port: 80}], route: [{destination: {host: `+egresstest.GatewayService+`, subset: api, port: {number: 80}}}]}]}`), "",
		},
		"encryption by a route": {
			routes(t, `{hosts: [api.example.com], http: [{match: [{port: 80}], route: [{destination: {host: api.example.com, port: {number: 443}}}]}]}`), "",
		},
		"a wildcard rule": {destinationRule(t, `{host: "*.example.com", trafficPolicy: {tls: {mode: DISABLE}}}`), ""},
	} {
		r, _ := mutual()
		request := create(tc.object)
		if rewritten, err := r.Rewrite(request); err == nil {
			request.Object = rewritten
		}
		outcome, err := r.Review(t.Context(), request)
		require.NoError(t, err, name)
		assert.Equal(t, tc.want, strings.Join(codes(outcome), ", "), name)
	}
	r := &Reviewer{Mesh: egresstest.Mesh(), View: egresstest.NewCluster(), Policies: &policies{}}
	outcome, err := r.Review(t.Context(), stored(t, r, create(annotated(entry(t, `{hosts: [db.new.com], resolution: DNS, `+web+`}`), "a"))))
	require.NoError(t, err)
	assert.Equal(t, []string{"service-accounts metadata.annotations[egress-governor.io/service-accounts]"}, codes(outcome), "a plain gateway cannot tell")
}

func annotated(object *unstructured.Unstructured, accounts string) *unstructured.Unstructured {
	object.SetAnnotations(map[string]string{hop.AccountsAnnotation: accounts})
	return object
}

// TestARouteToTheGatewayLeadsToItsHost: the hop of the guides is carried by the entry.
func TestARouteToTheGatewayLeadsToItsHost(t *testing.T) {
	t.Parallel()
	r, _ := mutual()
	got := stored(t, r, create(routes(t, `{hosts: [api.example.com], http: [{match: [{port: 80}], route: [{destination: {host: `+egresstest.GatewayService+`, subset: api, port: {number: 80}}}]}],
		tls: [{match: [{sniHosts: [api.example.com]}], route: [{destination: {host: `+egresstest.GatewayService+`, port: {number: 443}}}]}]}`)))
	var leads []string
	for _, d := range egress.Destinations(got.Object) {
		leads = append(leads, d.Host())
	}
	assert.Equal(t, []string{"api.example.com", "api.example.com"}, leads)
}

// TestNobodyForgesAClientRule: whatever has its marks is stored as it is to be, or not at all.
func TestNobodyForgesAClientRule(t *testing.T) {
	t.Parallel()
	r, _ := mutual()
	rule := func(host, spec string) *unstructured.Unstructured {
		out := destinationRule(t, spec)
		out.SetName(hop.ClientRuleName(host))
		out.SetLabels(map[string]string{hop.ManagedByLabel: hop.Manager})
		out.SetAnnotations(map[string]string{hop.HostAnnotation: host})
		return out
	}
	const stolen = `{host: tls.example.com, trafficPolicy: {portLevelSettings: [{port: {number: 443}, tls: {mode: ISTIO_MUTUAL, sni: p443.victim.test.port.egress-governor.internal}}]}}`
	got := stored(t, r, create(rule("tls.example.com", stolen)))
	want, _ := hop.ClientRuleSpec(r.Mesh, r.View, egresstest.Namespace, "tls.example.com")
	assert.Equal(t, want, got.Object.Object["spec"])
	outcome, err := r.Review(t.Context(), got)
	require.NoError(t, err)
	assert.Equal(t, Allowed, outcome.Verdict)

	got = stored(t, r, create(rule("victim.test", stolen)))
	outcome, err = r.Review(t.Context(), got)
	require.NoError(t, err)
	assert.Equal(t, Refused, outcome.Verdict)
	assert.Contains(t, codes(outcome), "client-rule metadata.labels")

	outcome, err = r.Review(t.Context(), create(rule("tls.example.com", stolen)))
	require.NoError(t, err)
	assert.Equal(t, Refused, outcome.Verdict, "another webhook came after ours")
	plain := destinationRule(t, stolen)
	outcome, err = r.Review(t.Context(), stored(t, r, create(plain)))
	require.NoError(t, err)
	assert.Contains(t, codes(outcome), "tls-mode spec.trafficPolicy.portLevelSettings[0].tls.mode", "a tenant's own")
}

// TestARuleIsSealedByAnotherReplica that knows of other entries of the host: that is no change by anybody.
func TestARuleIsSealedByAnotherReplica(t *testing.T) {
	t.Parallel()
	knows, _ := mutual()
	nothing, cluster := mutual()
	cluster.Known = nil
	otherPorts, cluster := mutual()
	for _, entry := range cluster.Known {
		entry.Ports = []egress.Port{{Number: 9443, Protocol: "TLS", TargetPort: 9443}}
	}
	for name, replica := range map[string]*Reviewer{"knows nothing": nothing, "knows other ports": otherPorts, "knows the same": knows} {
		for change, made := range map[string]func(tls map[string]any){
			"none":                        func(map[string]any) {},
			"another host's name":         func(tls map[string]any) { tls["sni"] = "p443.other.test.port.egress-governor.internal" },
			"another port's name":         func(tls map[string]any) { tls["sni"] = "p5432.api.example.com.port.egress-governor.internal" },
			"another identity":            func(tls map[string]any) { tls["subjectAltNames"] = []any{"spiffe://cluster.local/ns/evil/sa/evil"} },
			"any identity":                func(tls map[string]any) { delete(tls, "subjectAltNames") },
			"a certificate of the tenant": func(tls map[string]any) { tls["credentialName"] = "mine" },
		} {
			req := stored(t, knows, create(destinationRule(t, simple)))
			levels, _, err := unstructured.NestedSlice(req.Object.Object, "spec", "trafficPolicy", "portLevelSettings")
			require.NoError(t, err)
			require.NotEmpty(t, levels)
			made(levels[0].(map[string]any)["tls"].(map[string]any))
			require.NoError(t, unstructured.SetNestedSlice(req.Object.Object, levels, "spec", "trafficPolicy", "portLevelSettings"))
			outcome, err := replica.Review(t.Context(), req)
			require.NoError(t, err)
			want := []string{"not-sealed spec.trafficPolicy"}
			if change == "none" {
				want = nil
			}
			assert.Equal(t, want, codes(outcome), "%s, %s", name, change)
		}
	}
}
