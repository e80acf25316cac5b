package hop_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// mutual is a cluster whose gateway takes mutual TLS, with one host that has a port of every kind.
func mutual(t *testing.T, exportTo []string, accounts map[string][]string) (*egress.Mesh, *egresstest.Cluster) {
	t.Helper()
	view := egresstest.NewMutualCluster()
	entry := egresstest.Sealed("db.example.com", egress.Port{Number: 80, Name: "http", Protocol: "HTTP"},
		egress.Port{Number: 443, Name: "tls", Protocol: "TLS"}, egress.Port{Number: 5432, Name: "db", Protocol: "TCP"})
	entry.Transport, entry.ExportTo, entry.Accounts = egress.MutualTLS, exportTo, accounts
	view.Known = append(view.Known, entry)
	view.Accounts = map[string][]string{egresstest.Namespace: {"default", "batch"}, "shop": {"default"}}
	view.Leaving = map[string]string{egresstest.Namespace: "default", "shop": "default"}
	return view.Mesh, view
}

func TestSealByMutualTLS(t *testing.T) {
	t.Parallel()
	mesh := egresstest.MutualTLS()
	in := entry(t, `{hosts: [db.example.com], location: MESH_EXTERNAL, subjectAltNames: [db.example.com], resolution: DNS,
		ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}, {number: 5432, name: db, protocol: TCP}]}`)
	out, err := hop.Seal(in, mesh.Gateways[0], mesh)
	require.NoError(t, err)
	assert.Equal(t, object(t, `
kind: ServiceEntry
spec:
  hosts: [db.example.com]
  location: MESH_INTERNAL
  subjectAltNames: [spiffe://cluster.local/ns/istio-system/sa/istio-egressgateway]
  resolution: DNS
  ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}, {number: 5432, name: db, protocol: TCP}]
  endpoints:
  - address: istio-egressgateway.istio-system.svc.cluster.local
    ports: {http: 80, tls: 443, db: 443}
    labels: {security.istio.io/tlsMode: istio}
`).Object["spec"], out.Object["spec"])
	leg, sealed := hop.SealedLeg(out, mesh)
	assert.True(t, sealed)
	assert.Equal(t, mesh.Gateways[0].Leg(), leg)
	intent, err := hop.EntryIntent(out, mesh)
	require.NoError(t, err)
	assert.Equal(t, in.Object, intent.Object)
}

// TestAManifestAppliedAnew, which writes the location and not the names, keeps the author's.
func TestAManifestAppliedAnew(t *testing.T) {
	t.Parallel()
	mesh := egresstest.MutualTLS()
	for _, names := range []string{"", ", subjectAltNames: [db.example.com]"} {
		in := entry(t, `{hosts: [db.example.com], location: MESH_EXTERNAL, resolution: STATIC, endpoints: [{address: 203.0.113.7}], ports: [{number: 80, name: http, protocol: HTTP}]`+names+`}`)
		sealed, err := hop.Seal(in, mesh.Gateways[0], mesh)
		require.NoError(t, err)
		for _, written := range [][]string{{"location"}, {"location", "endpoints", "resolution"}} {
			anew := sealed.DeepCopy()
			for _, key := range written {
				anew.Object["spec"].(map[string]any)[key] = in.Object["spec"].(map[string]any)[key]
			}
			again, err := hop.Seal(anew, mesh.Gateways[0], mesh)
			require.NoError(t, err)
			assert.Equal(t, sealed.Object["spec"], again.Object["spec"])
			intent, err := hop.EntryIntent(again, mesh)
			require.NoError(t, err)
			assert.Equal(t, in.Object, intent.Object)
		}
	}
}

// doors returns the servers and the HTTP routes of the exit set.
func doors(t *testing.T, mesh *egress.Mesh, view *egresstest.Cluster) (servers map[string][]string, http []*networking.HTTPRoute) {
	t.Helper()
	servers = map[string][]string{}
	for _, object := range hop.ExitSet(mesh, view.Exit("db.example.com", gateways), view, gateways, "db.example.com") {
		switch o := object.(type) {
		case *networkingv1.Gateway:
			for _, server := range o.Spec.Servers {
				assert.Equal(t, networking.ServerTLSSettings_ISTIO_MUTUAL, server.Tls.Mode)
				assert.Equal(t, uint32(443), server.Port.Number)
				servers[strings.Join(server.Hosts, " ")] = server.Tls.SubjectAltNames
			}
		case *networkingv1.VirtualService:
			assert.Equal(t, []string{"."}, o.Spec.ExportTo)
			http = append(http, o.Spec.Http...)
		}
	}
	return servers, http
}

func TestTheDoorsKnowTheirCallers(t *testing.T) {
	t.Parallel()
	const tls, db = "istio-system/p443.db.example.com.port.egress-governor.internal", "istio-system/p5432.db.example.com.port.egress-governor.internal"
	name := func(of string) string { return "spiffe://cluster.local/ns/" + of }
	for title, tc := range map[string]struct {
		exportTo []string
		accounts map[string][]string
		want     []string
	}{
		"its own":    {[]string{"."}, nil, []string{name("payments/sa/default"), name("payments/sa/batch")}},
		"exported":   {[]string{".", "shop"}, nil, []string{name("payments/sa/default"), name("payments/sa/batch"), name("shop/sa/default")}},
		"ungoverned": {[]string{".", "stranger"}, nil, []string{name("payments/sa/default"), name("payments/sa/batch")}},
		"everybody":  {nil, nil, nil},
		"narrowed":   {nil, map[string][]string{"shop": {"till"}}, []string{name("shop/sa/till")}},
	} {
		mesh, view := mutual(t, tc.exportTo, tc.accounts)
		servers, _ := doors(t, mesh, view)
		assert.Equal(t, map[string][]string{tls: tc.want, db: tc.want}, servers, title)
	}
	mesh, view := mutual(t, []string{"."}, nil)
	view.Accounts = nil
	servers, _ := doors(t, mesh, view)
	assert.Empty(t, servers, "a server without names would take everybody")
}

// TestNobodyCrowdsOutAnother who shares the exit: by ports, by service accounts, or by names of them.
func TestNobodyCrowdsOutAnother(t *testing.T) {
	t.Parallel()
	mesh, view := mutual(t, []string{"."}, nil)
	var ports []egress.Port
	for i := range 128 {
		ports = append(ports, egress.Port{Number: uint32(20000 + i), Name: fmt.Sprintf("p%d", i), Protocol: "TLS"})
	}
	ports = append(ports, egress.Port{Number: 80, Name: "http", Protocol: "HTTP"}, egress.Port{Number: 5432, Name: "db", Protocol: "TCP"})
	for i := range 20 {
		other := egresstest.Sealed("db.example.com", ports...)
		other.Namespace, other.Name, other.Transport, other.Created = "another", fmt.Sprint(i), egress.MutualTLS, other.Created.Add(time.Hour)
		if other.ExportTo = []string{".", egresstest.Namespace}; i > 0 {
			other.Accounts = map[string][]string{}
			for j := range 100 {
				name := fmt.Sprintf("%04d", i*100+j) + strings.Repeat("a", 240)
				view.Accounts["another"] = append(view.Accounts["another"], name)
				other.Accounts["another"] = append(other.Accounts["another"], name)
				other.Accounts[egresstest.Namespace] = append(other.Accounts[egresstest.Namespace], name)
			}
		}
		view.Known = append(view.Known, other)
	}
	servers, http := doors(t, mesh, view)
	const db = "istio-system/p5432.db.example.com.port.egress-governor.internal"
	for _, account := range view.Accounts[egresstest.Namespace] {
		assert.Contains(t, servers[db], "spiffe://cluster.local/ns/payments/sa/"+account)
		assert.True(t, matched(http[len(http)-2], certificate("", "spiffe://cluster.local/ns/payments/sa/"+account)))
	}
	for _, object := range hop.ExitSet(mesh, view.Exit("db.example.com", gateways), view, gateways, "db.example.com") {
		raw, err := json.Marshal(object)
		require.NoError(t, err)
		assert.Less(t, len(raw), 1<<20, object.GetName())
	}
}

// certificate is what a gateway says of a caller.
func certificate(subject, uri string) string {
	return fmt.Sprintf(`By=spiffe://cluster.local/ns/istio-system/sa/gw;Hash=0123;Cert="-----BEGIN%%20CERTIFICATE-----%%0A";Subject="%s";URI=%s`, subject, uri)
}

func TestHTTPCallersByTheirCertificate(t *testing.T) {
	t.Parallel()
	mesh, view := mutual(t, []string{".", "shop"}, map[string][]string{"payments": {"default", "b.c"}, "shop": {"till"}})
	_, http := doors(t, mesh, view)
	require.Len(t, http, 3)
	assert.NotNil(t, http[0].DirectResponse, "HTTP to the TLS port leads nowhere")
	http = http[1:]
	assert.Equal(t, []string{"x-forwarded-client-cert"}, http[0].Headers.Request.Remove)
	assert.Equal(t, uint32(403), http[1].DirectResponse.Status)
	assert.Contains(t, http[1].DirectResponse.Body.GetString_(), "ask the owners of ServiceEntry payments/db.example.com")
	for value, want := range map[string]bool{
		certificate("", "spiffe://cluster.local/ns/payments/sa/default"):                                                           true,
		certificate("O=x", "spiffe://cluster.local/ns/shop/sa/till"):                                                               true,
		certificate("", "spiffe://cluster.local/ns/shop/sa/default"):                                                               false,
		certificate("", "spiffe://cluster.local/ns/payments/sa/bXc"):                                                               false,
		certificate("", "spiffe://cluster.local/ns/payments/sa/defaults"):                                                          false,
		certificate("", "spiffe://other/ns/payments/sa/default"):                                                                   false,
		certificate("", "spiffe://clusterXlocal/ns/payments/sa/default"):                                                           false,
		certificate(`;URI=spiffe://cluster.local/ns/shop/sa/till`, "spiffe://cluster.local/ns/x/sa/y"):                             false,
		certificate(`\";URI=spiffe://cluster.local/ns/shop/sa/till`, "spiffe://cluster.local/ns/x/sa/y"):                           false,
		"By=x;Hash=y;Subject=\"\";URI=spiffe://cluster.local/ns/shop/sa/till," + certificate("", "spiffe://cluster.local/ns/x/sa"): false,
		"": false,
	} {
		assert.Equal(t, want, matched(http[0], value), value)
	}
}

// TestNobodyIsLentACertificate by an entry of the port alone: HTTP calls are made with it for those whose rule has it.
func TestNobodyIsLentACertificate(t *testing.T) {
	t.Parallel()
	for mode, lent := range map[string]bool{"MUTUAL": false, "SIMPLE": true} {
		mesh, view := mutual(t, []string{"."}, nil)
		view.Rules = []*egress.Rule{{Namespace: egresstest.Namespace, Host: "db.example.com", Policy: map[string]any{
			"portLevelSettings": []any{map[string]any{"port": map[string]any{"number": int64(443)}, "tls": map[string]any{"mode": mode, "credentialName": "client"}}},
		}}}
		other := egresstest.Sealed("db.example.com", egress.Port{Number: 443, Name: "tls", Protocol: "TLS"})
		other.Namespace, other.Transport, other.ExportTo = "shop", egress.MutualTLS, []string{"."}
		view.Known = append(view.Known, other)
		servers, http := doors(t, mesh, view)
		assert.Len(t, servers["istio-system/p443.db.example.com.port.egress-governor.internal"], 3, "whoever speaks TLS itself")
		require.Equal(t, "encrypted", http[0].Route[0].Destination.Subset)
		assert.True(t, matched(http[0], certificate("", "spiffe://cluster.local/ns/payments/sa/default")), mode)
		assert.Equal(t, lent, matched(http[0], certificate("", "spiffe://cluster.local/ns/shop/sa/default")), mode)
	}
}

// TestAHostBelowAWildcardShutsNobodyOut: the gateway goes by the more specific of the two, for clients of both.
func TestAHostBelowAWildcardShutsNobodyOut(t *testing.T) {
	t.Parallel()
	for mode, want := range map[string]bool{"": true, "SIMPLE": true, "MUTUAL": false} {
		mesh, view := mutual(t, []string{"."}, nil)
		above := egresstest.Sealed("*.example.com", egress.Port{Number: 80, Name: "http", Protocol: "HTTP"}, egress.Port{Number: 5432, Name: "db", Protocol: "TCP"})
		above.Namespace, above.Transport, above.ExportTo = "shop", egress.MutualTLS, []string{"."}
		view.Known = append(view.Known, above)
		if mode != "" {
			view.Rules = []*egress.Rule{{Namespace: egresstest.Namespace, Host: "db.example.com", Policy: map[string]any{"tls": map[string]any{"mode": mode}}}}
		}
		servers, http := doors(t, mesh, view)
		assert.Len(t, servers["istio-system/p5432.db.example.com.port.egress-governor.internal"], 2, "a wildcard's raw TCP has a name of its own")
		route := http[len(http)-2]
		require.NotEmpty(t, route.Route)
		assert.True(t, matched(route, certificate("", "spiffe://cluster.local/ns/payments/sa/default")), mode)
		assert.Equal(t, want, matched(route, certificate("", "spiffe://cluster.local/ns/shop/sa/default")), "with mode %q", mode)
		assert.False(t, matched(route, certificate("", "spiffe://cluster.local/ns/stranger/sa/default")), mode)
	}
}

// matched says whether a route takes a call with a header of the gateway's. Proxies match whole values.
func matched(route *networking.HTTPRoute, value string) bool {
	for _, match := range route.Match {
		if regexp.MustCompile("^(?:" + match.Headers["x-forwarded-client-cert"].GetRegex() + ")$").MatchString(value) {
			return true
		}
	}
	return len(route.Match) == 0
}

// TestManyCallersFitIntoExpressions that proxies take.
func TestManyCallersFitIntoExpressions(t *testing.T) {
	t.Parallel()
	exportTo := []string{"."}
	mesh, view := mutual(t, nil, nil)
	for i := range 2000 {
		name := fmt.Sprintf("a-namespace-with-a-long-name-%04d", i)
		exportTo = append(exportTo, name)
		view.Leaving[name] = "default"
	}
	view.Known[len(view.Known)-1].ExportTo = exportTo
	_, http := doors(t, mesh, view)
	http = http[1:]
	require.Greater(t, len(http[0].Match), 1)
	for _, match := range http[0].Match {
		assert.Less(t, len(match.Headers["x-forwarded-client-cert"].GetRegex()), 9<<10)
	}
	for _, name := range []string{"payments", exportTo[1], exportTo[1000], exportTo[2000]} {
		assert.True(t, matched(http[0], certificate("", "spiffe://cluster.local/ns/"+name+"/sa/default")), name)
	}
	assert.False(t, matched(http[0], certificate("", "spiffe://cluster.local/ns/shop/sa/default")))
}

// TestATransportOfBeforeStaysOpen beside the gateway's own, where the two do not want the same port.
func TestATransportOfBeforeStaysOpen(t *testing.T) {
	t.Parallel()
	now := egresstest.MutualTLS().Gateways[0]
	before := hop.GatewayObject(now, egress.Plain)
	require.Len(t, before.Spec.Servers, 1, "80 is the mutual one's by now")
	assert.Equal(t, uint32(443), before.Spec.Servers[0].Port.Number)
	assert.NotEqual(t, hop.GatewayObject(now, egress.MutualTLS).Name, before.Name)
	assert.Nil(t, hop.GatewayObject(egresstest.Mesh().Gateways[0], egress.MutualTLS))
}
