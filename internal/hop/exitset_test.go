package hop_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/hop"
)

const gateways = "istio-system"

// described is an exit set in a line for each object.
func described(objects []hop.Object) (out []string) {
	for _, object := range objects {
		switch o := object.(type) {
		case *networkingv1.ServiceEntry:
			out = append(out, fmt.Sprintf("ServiceEntry %v %v", o.Spec.Hosts, o.Spec.Resolution))
		case *networkingv1.VirtualService:
			out = append(out, fmt.Sprintf("VirtualService %v %v", o.Spec.Hosts, o.Spec.Gateways))
		}
	}
	return out
}

func TestExitSetTellsHTTPPortsApart(t *testing.T) {
	t.Parallel()
	objects := hop.ExitSet(mesh(), cluster().Exit("two.example.com", gateways), cluster(), gateways, "two.example.com")
	require.Len(t, objects, 2)
	vs := objects[1].(*networkingv1.VirtualService)
	require.Len(t, vs.Spec.Http, 3)
	var got []string
	for _, route := range vs.Spec.Http {
		require.Len(t, route.Match, 1)
		got = append(got, route.Match[0].Authority.GetRegex())
	}
	assert.Equal(t, []string{".*:80", ".*:8080", "[^:]*"}, got)
	assert.Equal(t, uint32(80), vs.Spec.Http[2].Route[0].Destination.Port.Number)
}

// TestGatewaysOfANamespaceShareAHost: one definition of the host, and the routes of each gateway that has an entry.
func TestGatewaysOfANamespaceShareAHost(t *testing.T) {
	t.Parallel()
	two := egresstest.TwoGateways()
	view := cluster()
	view.Mesh = two
	const host = "api.example.com"
	assert.Equal(t, []string{
		"ServiceEntry [api.example.com] DNS", "VirtualService [api.example.com] [istio-system/egress-governor-default]",
	}, described(hop.ExitSet(two, view.Exit(host, gateways), view, gateways, host)))

	later := *egresstest.Sealed(host, egress.Port{Number: 443, Name: "tls", Protocol: "TLS"})
	later.Namespace, later.Gateway, later.Created = "cards", "pci", time.Unix(2000, 0)
	later.Definition = (&egress.ServiceEntry{Resolution: "DNS_ROUND_ROBIN", Ports: []egress.Port{{Number: 443, Name: "tls", Protocol: "HTTPS"}}}).Define()
	view.Known = append(view.Known, &later)
	both := hop.ExitSet(two, view.Exit(host, gateways), view, gateways, host)
	assert.Equal(t, []string{
		"ServiceEntry [api.example.com] DNS",
		"VirtualService [api.example.com] [istio-system/egress-governor-pci]",
		"VirtualService [api.example.com] [istio-system/egress-governor-default]",
	}, described(both), "the oldest entry defines the host for both")
	assert.NotEqual(t, both[1].GetName(), both[2].GetName())
	assert.NotEqual(t, both[1].GetLabels()[hop.GatewayLabel], both[2].GetLabels()[hop.GatewayLabel])

	two.Gateways[0].Service = "pci-egress.elsewhere.svc.cluster.local"
	assert.Equal(t, []string{
		"ServiceEntry [api.example.com] DNS_ROUND_ROBIN", "VirtualService [api.example.com] [elsewhere/egress-governor-pci]",
	}, described(hop.ExitSet(two, view.Exit(host, "elsewhere"), view, "elsewhere", host)), "another namespace has a definition of its own")
	assert.Empty(t, hop.ExitSet(two, view.Exit("nobody.example.com", gateways), view, gateways, "nobody.example.com"))
}

func TestExitNamesDiffer(t *testing.T) {
	t.Parallel()
	two := egresstest.TwoGateways()
	view := cluster()
	long := "my-company-production-analytics-archive-2026.s3.eu-central-1.example.com"
	names := map[string]string{}
	for _, host := range []string{"a.b.c", "a-b.c", "*.b.c", "wildcard.b.c", "b.c", long, "x" + long, long + ".x"} {
		pci := *egresstest.Sealed(host, egress.Port{Number: 443, Name: "tls", Protocol: "TLS"})
		pci.Name, pci.Gateway = "pci", "pci"
		view.Known = append(view.Known, egresstest.Sealed(host, egress.Port{Number: 443, Name: "tls", Protocol: "TLS"}), &pci)
		objects := hop.ExitSet(two, view.Exit(host, gateways), view, gateways, host)
		require.Len(t, objects, 3)
		for _, object := range objects {
			name := object.GetName()
			assert.LessOrEqual(t, len(name), 63)
			assert.Empty(t, names[name], name)
			names[name] = host
		}
	}
}

// TestEveryTransportOfTheConfigurationHasItsRow, so that none is taken for another.
func TestEveryTransportOfTheConfigurationHasItsRow(t *testing.T) {
	t.Parallel()
	for _, transport := range egress.Transports() {
		gw := mesh().Gateways[0]
		gw.Transport = transport
		assert.NotPanics(t, func() { hop.GatewayObject(gw, gw.Transport) }, transport)
	}
	gw := mesh().Gateways[0]
	gw.Transport = "Unknown"
	assert.Panics(t, func() { hop.GatewayObject(gw, gw.Transport) })
}

// TestExitsHaveNoTunnel, whatever an entry was stored with; its other labels are theirs, too.
func TestExitsHaveNoTunnel(t *testing.T) {
	t.Parallel()
	const host = "tunnel.test"
	labels := map[string]string{"networking.istio.io/tunnel": "http", "a": "b"}
	stored := egresstest.Sealed(host, egress.Port{Number: 80, Name: "http", Protocol: "HTTP"})
	stored.Definition = (&egress.ServiceEntry{
		Resolution: "STATIC", Ports: stored.Ports, Endpoints: []egress.Endpoint{{Address: "203.0.113.7", Labels: labels}},
	}).Define()
	view := cluster()
	view.Known = append(view.Known, stored)
	out := hop.ExitSet(mesh(), view.Exit(host, gateways), view, gateways, host)
	require.NotEmpty(t, out)
	assert.Equal(t, map[string]string{"a": "b"}, out[0].(*networkingv1.ServiceEntry).Spec.Endpoints[0].Labels)
	assert.Len(t, labels, 2, "the entry's own are not touched")
}

// TestExitsNameHostsAsTheWorldKnowsThem: with a dot behind it a name is that one host. Without, the first search domain of the gateway's
// pod makes api.foo.dev a pod of Service foo in a namespace dev.
func TestExitsNameHostsAsTheWorldKnowsThem(t *testing.T) {
	t.Parallel()
	endpoints := func(of ...string) (out []egress.Endpoint) {
		for _, address := range of {
			out = append(out, egress.Endpoint{Address: address})
		}
		return out
	}
	for name, tc := range map[string]struct {
		host, resolution string
		endpoints        []egress.Endpoint
		want             []string
	}{
		"by its own name":   {"api.foo.dev", "DNS", nil, []string{"api.foo.dev."}},
		"as the app has it": {"api.foo.dev", "NONE", nil, []string{"api.foo.dev."}},
		"one at a time":     {"api.foo.dev", "DNS_ROUND_ROBIN", nil, []string{"api.foo.dev."}},
		"by other names":    {"api.foo.dev", "DNS", endpoints("a.foo.dev", "B.foo.dev."), []string{"a.foo.dev.", "b.foo.dev."}},
		"a wildcard":        {"*.foo.dev", "DNS", endpoints("all.foo.dev", "203.0.113.7"), []string{"203.0.113.7", "all.foo.dev."}},
		"by addresses":      {"api.foo.dev", "STATIC", endpoints("203.0.113.7", "2001:db8::7"), []string{"2001:db8::7", "203.0.113.7"}},
	} {
		stored := egresstest.Sealed(tc.host, egress.Port{Number: 443, Name: "tls", Protocol: "TLS"})
		stored.Definition = (&egress.ServiceEntry{Resolution: tc.resolution, Ports: stored.Ports, Endpoints: tc.endpoints}).Define()
		view := cluster()
		view.Known = append(view.Known, stored)
		out := hop.ExitSet(mesh(), view.Exit(tc.host, gateways), view, gateways, tc.host)
		require.NotEmpty(t, out, name)
		entry := out[0].(*networkingv1.ServiceEntry)
		var got []string
		for _, endpoint := range entry.Spec.Endpoints {
			got = append(got, endpoint.Address)
		}
		assert.ElementsMatch(t, tc.want, got, name)
		assert.Equal(t, []string{tc.host}, entry.Spec.Hosts, "%s: who calls and what is verified is the host", name)
	}
}
