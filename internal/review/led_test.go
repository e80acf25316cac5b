package review

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// byRoutes is a reviewer of a mesh whose routes alone lead to the gateway.
func byRoutes() (*Reviewer, *egresstest.Cluster) {
	view := egresstest.NewLedCluster()
	return &Reviewer{Mesh: view.Mesh, View: view, Policies: &policies{}}, view
}

// refused rewrites and reviews an object, and returns the codes of what is wrong with it.
func refused(t *testing.T, r *Reviewer, req Request) []string {
	t.Helper()
	if out, err := r.Rewrite(req); err == nil {
		req.Object = out
	}
	outcome, err := r.Review(t.Context(), req)
	require.NoError(t, err)
	for _, finding := range outcome.Findings {
		assert.NotEmpty(t, finding.Fix)
	}
	return codes(outcome)
}

// TestALedEntryIsStoredAsItIsWritten, and leaves through the gateway of its namespace as policies see it.
func TestALedEntryIsStoredAsItIsWritten(t *testing.T) {
	t.Parallel()
	r, _ := byRoutes()
	for _, spec := range []string{
		https,
		`{hosts: [new.example.com], exportTo: ["."], ports: [{number: 80, name: http, protocol: HTTP}]}`,
		`{hosts: [new.example.com], resolution: STATIC, endpoints: [{address: 192.0.2.1}], ports: [{number: 80, name: http, protocol: HTTP}]}`,
	} {
		written := entry(t, spec)
		req := stored(t, r, create(written.DeepCopy()))
		assert.Equal(t, written.Object, req.Object.Object)
		outcome, err := r.Review(t.Context(), req)
		require.NoError(t, err)
		assert.Empty(t, codes(outcome))
		require.NotEmpty(t, outcome.Facts.Routes)
		for _, route := range outcome.Facts.Routes {
			assert.Equal(t, egress.ViaGateway, route.Via)
		}
		require.NotEmpty(t, outcome.Changes)
		assert.Contains(t, outcome.Changes[0], "until ExitReady is True they may leave directly")
	}
}

// TestASealedEntryIsLedOnceItIsWrittenAgain, as after a switch of the configuration.
func TestASealedEntryIsLedOnceItIsWrittenAgain(t *testing.T) {
	t.Parallel()
	r, _ := byRoutes()
	written := entry(t, https)
	sealed := stored(t, newReviewer(), create(written.DeepCopy())).Object
	outcome, err := r.Review(t.Context(), Request{Operation: Audit, Object: sealed, Name: "x", Namespace: Namespace{Name: "payments"}})
	require.NoError(t, err)
	assert.Empty(t, codes(outcome), "until then it stands")
	assert.Equal(t, written.Object, stored(t, r, create(sealed)).Object.Object)
}

func TestWhatRoutesCannotLeadIsRefused(t *testing.T) {
	t.Parallel()
	http1, _ := byRoutes()
	http1.View.(*egresstest.Cluster).Services[egresstest.GatewayService] = egresstest.Carrier("HTTP")
	several, _ := byRoutes()
	several.Mesh = egresstest.TwoGateways()
	several.Mesh.Seal = false
	nowhere, _ := byRoutes()
	nowhere.Mesh = egresstest.TwoGateways()
	nowhere.Mesh.Seal, nowhere.Mesh.Gateways = false, nowhere.Mesh.Gateways[:1]
	for name, tc := range map[string]struct {
		reviewer *Reviewer
		spec     string
		want     []string
	}{
		"raw TCP":              {nil, `{hosts: [new.example.com], resolution: DNS, ports: [{number: 5432, name: pg, protocol: TCP}]}`, []string{"raw-protocol spec.ports[0].protocol"}},
		"two TLS ports":        {nil, `{hosts: [new.example.com], resolution: DNS, ports: [{number: 443, name: a, protocol: TLS}, {number: 8443, name: b, protocol: TLS}]}`, []string{"second-tls-port spec.ports[1]"}},
		"a bare wildcard":      {nil, `{hosts: ["*.new.test"], ports: [{number: 443, name: a, protocol: TLS}]}`, []string{"bare-wildcard spec.hosts[0]"}},
		"another spelling":     {nil, `{hosts: [New.example.com], resolution: DNS, ports: [{number: 443, name: a, protocol: TLS}]}`, []string{"not-canonical spec.hosts[0]"}},
		"the gateway's own ns": {nil, `{hosts: [new.example.com], resolution: DNS, exportTo: [".", istio-system], ports: [{number: 443, name: a, protocol: TLS}]}`, []string{"gateway-export spec.exportTo[1]"}},
		"gRPC over HTTP/1":     {http1, `{hosts: [new.example.com], resolution: DNS, ports: [{number: 80, name: a, protocol: GRPC}]}`, []string{"gateway-protocol spec.ports[0].protocol"}},
		"everybody's gateways": {several, https, []string{"other-gateway spec.exportTo"}},
		"no gateway":           {nowhere, https, []string{"no-gateway metadata.namespace"}},
		"the gateway itself":   {nil, `{hosts: [new.example.com], resolution: DNS, endpoints: [{address: ` + egresstest.GatewayService + `}, {address: ` + egresstest.GatewayService + `}], ports: [{number: 443, name: a, protocol: TLS}]}`, []string{"gateway-endpoint spec.endpoints[0].address", "gateway-endpoint spec.endpoints[1].address"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := tc.reviewer
			if r == nil {
				r, _ = byRoutes()
			}
			assert.Equal(t, tc.want, refused(t, r, create(entry(t, tc.spec))))
		})
	}
}

// TestAStraightRouteIsRefused, and one that leads to the gateway is stored so.
func TestAStraightRouteIsRefused(t *testing.T) {
	t.Parallel()
	r, _ := byRoutes()
	assert.Equal(t, []string{"straight-route spec.http[0].route[0].destination.host"},
		refused(t, r, create(routes(t, `{hosts: [api.example.com], http: [{route: [{destination: {host: api.example.com, subset: a}}]}]}`))))
	outcome, err := r.Review(t.Context(), create(routes(t, `{hosts: [api.example.com], http: [{route: [{destination: {host: api.example.com, subset: a}}]}]}`)))
	require.NoError(t, err)
	assert.Equal(t, egress.ViaDirect, outcome.Facts.Routes[0].Via, "as policies see it")
	led := stored(t, r, create(routes(t, `{hosts: [api.example.com], http: [{route: [{destination: {host: api.example.com}}]}]}`)))
	outcome, err = r.Review(t.Context(), led)
	require.NoError(t, err)
	assert.Empty(t, codes(outcome))
	assert.Equal(t, egress.ViaGateway, outcome.Facts.Routes[0].Via)
	unmended := create(routes(t, `{hosts: [api.example.com], http: [{route: [{destination: {host: api.example.com}}]}]}`))
	outcome, err = r.Review(t.Context(), unmended)
	require.NoError(t, err)
	assert.Empty(t, codes(outcome), "another replica did not know the entry yet; the controller makes up for it")
	assert.Equal(t, egress.ViaGateway, outcome.Facts.Routes[0].Via)
}

// TestWhatHasTheMarksOfOurRoutesIsOurs: one form may be stored, whoever writes it, or nothing.
func TestWhatHasTheMarksOfOurRoutesIsOurs(t *testing.T) {
	t.Parallel()
	r, view := byRoutes()
	ours := hop.ClientRoutes(r.Mesh, view, "payments", "api.example.com")
	require.Len(t, ours, 1)
	bent := ours[0].DeepCopy()
	require.NoError(t, unstructured.SetNestedStringSlice(bent.Object, []string{"elsewhere.test"}, "spec", "hosts"))
	req := stored(t, r, create(bent))
	assert.Equal(t, ours[0].Object["spec"], req.Object.Object["spec"])
	outcome, err := r.Review(t.Context(), req)
	require.NoError(t, err)
	assert.Equal(t, Allowed, outcome.Verdict)
	other := ours[0].DeepCopy()
	other.SetName("other")
	assert.Contains(t, refused(t, r, create(other)), "client-route metadata.labels")
	assert.Contains(t, refused(t, newReviewer(), create(ours[0].DeepCopy())), "client-route metadata.labels", "sealed entries have none")
}

// TestARuleOfALedHostStaysAsItIsWritten: what no route leads to the gateway must not leave in clear for it.
func TestARuleOfALedHostStaysAsItIsWritten(t *testing.T) {
	t.Parallel()
	r, _ := byRoutes()
	written := destinationRule(t, `{host: api.example.com, trafficPolicy: {tls: {mode: SIMPLE}}}`)
	req := stored(t, r, create(written.DeepCopy()))
	assert.Equal(t, written.Object, req.Object.Object)
	assert.Empty(t, refused(t, r, create(written)))
	assert.Equal(t, []string{"gateway-rule spec.host"}, refused(t, r, create(destinationRule(t, `{host: "*.local", trafficPolicy: {tls: {mode: SIMPLE}}}`))))
	assert.Empty(t, refused(t, newReviewer(), create(destinationRule(t, `{host: "*.local", trafficPolicy: {tls: {mode: SIMPLE}}}`))))
}

// TestLeftRoutesAreStoredAsTheyAreWritten, or refused where only injection would have made them right.
func TestLeftRoutesAreStoredAsTheyAreWritten(t *testing.T) {
	t.Parallel()
	r := newReviewer()
	r.Mesh.Inject = false
	for _, spec := range []string{
		`{hosts: [api.example.com], http: [{route: [{destination: {host: api.example.com}}]}]}`,
		`{hosts: [api.example.com], exportTo: ["."], http: [{route: [{destination: {host: api.example.com, subset: a}}]}]}`,
		`{hosts: [api.example.com], tls: [{match: [{sniHosts: [api.example.com]}], route: [{destination: {host: api.example.com, port: {number: 443}}}]}]}`,
	} {
		written := routes(t, spec)
		req := stored(t, r, create(written.DeepCopy()))
		assert.Equal(t, written.Object, req.Object.Object)
		assert.Empty(t, refused(t, r, req))
	}
	pair := routes(t, `{hosts: [two.example.com], http: [{route: [{destination: {host: api.example.com, port: {number: 80}},
		headers: {request: {set: {host: two.example.com.at.api.example.com.egress-governor.internal}}}}]}]}`)
	assert.Contains(t, refused(t, r, create(pair)), "reserved-host spec.http[0].route[0].headers.request.set")
	pair.SetAnnotations(map[string]string{hop.IntentAnnotation: `[{"now":{"host":"api.example.com"},"paths":["spec.http[0].route[0].destination"]}]`})
	assert.Contains(t, refused(t, r, create(pair)), "reserved-host spec.http[0].route[0].headers.request.set", "an annotation is anybody's word")
	assert.Equal(t, []string{"exported-route spec.exportTo"}, refused(t, r, create(routes(t, `{hosts: [new.example.com], http: [{route: [{destination: {host: local}}]}]}`))))
	r.Mesh.Seal = false
	assert.Empty(t, refused(t, r, create(routes(t, `{hosts: [new.example.com], http: [{route: [{destination: {host: local}}]}]}`))), "evaluated only")
}
