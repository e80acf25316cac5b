package hop_test

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/hop"
)

const wild = "*.amazonaws.com"

// resolving is a mesh whose gateway resolves wildcards.
func resolving(transport egress.Transport) *egress.Mesh {
	out := egresstest.MutualTLS()
	out.Gateways[0].Transport, out.Gateways[0].Wildcards = transport, true
	return out
}

func TestWildcardsThatAGatewayResolves(t *testing.T) {
	t.Parallel()
	const ports = `ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]`
	for name, tc := range map[string]struct {
		spec string
		// refused are the codes by Plain and by MutualTLS; refuses are those of a gateway that resolves none.
		refused, mutual, refuses []string
	}{
		"left out":                 {`{hosts: ["*.amazonaws.com"], ` + ports + `}`, nil, nil, []string{"bare-wildcard"}},
		"NONE":                     {`{hosts: ["*.amazonaws.com"], resolution: NONE, ` + ports + `}`, nil, nil, []string{"bare-wildcard"}},
		"DNS":                      {`{hosts: ["*.blob.core.windows.net"], resolution: DNS, ` + ports + `}`, nil, nil, []string{"bare-wildcard"}},
		"DYNAMIC_DNS":              {`{hosts: ["*.amazonaws.com"], resolution: DYNAMIC_DNS, ` + ports + `}`, nil, nil, []string{"bare-wildcard", "resolution"}},
		"beside a name":            {`{hosts: ["*.amazonaws.com", api.example.com], resolution: DNS, ` + ports + `}`, nil, nil, []string{"bare-wildcard"}},
		"DYNAMIC_DNS and a name":   {`{hosts: ["*.amazonaws.com", api.example.com], resolution: DYNAMIC_DNS, ` + ports + `}`, []string{"resolution"}, []string{"resolution"}, []string{"bare-wildcard", "resolution"}},
		"DYNAMIC_DNS of a name":    {`{hosts: [api.example.com], resolution: DYNAMIC_DNS, ` + ports + `}`, []string{"resolution"}, []string{"resolution"}, []string{"resolution"}},
		"DYNAMIC_DNS, endpoints":   {`{hosts: ["*.amazonaws.com"], resolution: DYNAMIC_DNS, endpoints: [{address: www.amazonaws.com}], ` + ports + `}`, []string{"resolution"}, []string{"resolution"}, []string{"resolution"}},
		"twice":                    {`{hosts: ["*.amazonaws.com", "*.AmazonAWS.com."], ` + ports + `}`, []string{"duplicate-host"}, []string{"duplicate-host"}, []string{"bare-wildcard", "bare-wildcard"}},
		"everything":               {`{hosts: ["*"], ` + ports + `}`, []string{"short-host"}, []string{"short-host"}, []string{"short-host"}},
		"a top-level domain":       {`{hosts: ["*.com"], ` + ports + `}`, []string{"wide-wildcard"}, []string{"wide-wildcard"}, []string{"wide-wildcard"}},
		"a registry's":             {`{hosts: ["*.co.uk"], resolution: DYNAMIC_DNS, ` + ports + `}`, []string{"wide-wildcard"}, []string{"wide-wildcard"}, []string{"wide-wildcard", "resolution"}},
		"within a label":           {`{hosts: ["*foo.amazonaws.com"], ` + ports + `}`, []string{"bad-host"}, []string{"bad-host"}, []string{"bad-host"}},
		"raw TCP":                  {`{hosts: ["*.amazonaws.com"], ports: [{number: 5432, name: db, protocol: TCP}]}`, []string{"raw-protocol"}, []string{"raw-protocol"}, []string{"bare-wildcard", "raw-protocol"}},
		"another port":             {`{hosts: ["*.amazonaws.com"], ports: [{number: 80, targetPort: 443, name: http, protocol: HTTP}]}`, []string{"wildcard-target-port"}, []string{"wildcard-target-port"}, []string{"bare-wildcard"}},
		"the same port":            {`{hosts: ["*.amazonaws.com"], ports: [{number: 80, targetPort: 80, name: http, protocol: HTTP}]}`, nil, nil, []string{"bare-wildcard"}},
		"two TLS ports":            {`{hosts: ["*.amazonaws.com"], ports: [{number: 443, name: tls, protocol: TLS}, {number: 8443, name: alt, protocol: TLS}]}`, []string{"second-tls-port"}, nil, []string{"bare-wildcard", "second-tls-port"}},
		"an address":               {`{hosts: ["*.amazonaws.com"], addresses: [203.0.113.7], ` + ports + `}`, []string{"addresses-without-resolution"}, []string{"addresses-without-resolution"}, []string{"bare-wildcard", "addresses-without-resolution"}},
		"an address, DYNAMIC_DNS":  {`{hosts: ["*.amazonaws.com"], addresses: [203.0.113.7], resolution: DYNAMIC_DNS, ` + ports + `}`, []string{"resolution"}, []string{"resolution"}, []string{"bare-wildcard", "resolution"}},
		"with a serving host":      {`{hosts: ["*.amazonaws.com"], resolution: DNS, endpoints: [{address: www.amazonaws.com}], ` + ports + `}`, nil, nil, nil},
		"all of a cluster's names": {`{hosts: ["*.cluster.local"], ` + ports + `}`, []string{"deputy-host"}, []string{"deputy-host"}, []string{"deputy-host"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for transport, want := range map[egress.Transport][]string{egress.Plain: tc.refused, egress.MutualTLS: tc.mutual} {
				mesh := resolving(transport)
				in := entry(t, tc.spec)
				out, err := hop.Seal(in, mesh.Gateways[0], mesh)
				assert.ElementsMatch(t, want, codes(err), transport)
				if err == nil {
					assert.Contains(t, []any{"DNS", "DNS_ROUND_ROBIN"}, out.Object["spec"].(map[string]any)["resolution"], "what Istio takes beside an endpoint")
					intent, err := hop.EntryIntent(out, mesh)
					require.NoError(t, err)
					assert.Equal(t, in.Object, intent.Object)
				}
			}
			plain := mesh()
			_, err := hop.Seal(entry(t, tc.spec), plain.Gateways[0], plain)
			assert.ElementsMatch(t, tc.refuses, codes(err), "a gateway that resolves none")
		})
	}
}

func codes(err error) (out []string) {
	refusals, _ := err.(hop.Refusals) //nolint:errorlint // it is never wrapped here
	for _, refusal := range refusals {
		out = append(out, refusal.Code)
	}
	return out
}

// wildExit is the exit set of a wildcard with the ports, by the transport.
func wildExit(mesh *egress.Mesh, endpoints []egress.Endpoint, rules []*egress.Rule, ports ...egress.Port) []hop.Object {
	view := egresstest.NewCluster()
	view.Mesh, view.Rules = mesh, rules
	view.Leaving = map[string]string{egresstest.Namespace: "default"}
	view.Accounts = map[string][]string{egresstest.Namespace: {"default"}}
	of := egresstest.Sealed(wild, ports...)
	of.Transport, of.ExportTo = mesh.Gateways[0].Transport, []string{"."}
	of.Definition = (&egress.ServiceEntry{Hosts: []string{wild}, Resolution: "DYNAMIC_DNS", Ports: ports, Endpoints: endpoints}).Define()
	view.Known = append(view.Known, of)
	return hop.ExitSet(mesh, view.Exit(wild, gateways), view, gateways, wild)
}

func kindsOf(objects []hop.Object) (out []string) {
	for _, object := range objects {
		switch o := object.(type) {
		case *unstructured.Unstructured:
			out = append(out, o.GetKind())
		case *networkingv1.ServiceEntry:
			out = append(out, "ServiceEntry")
		case *networkingv1.Gateway:
			out = append(out, "Gateway")
		case *networkingv1.VirtualService:
			out = append(out, "VirtualService")
		}
	}
	return out
}

// applied are the patches of an EnvoyFilter, a word for each.
func applied(object hop.Object) (out []string) {
	list, _, _ := unstructured.NestedSlice(object.(*unstructured.Unstructured).Object, "spec", "configPatches")
	for _, item := range list {
		of := item.(map[string]any)
		operation, _, _ := unstructured.NestedString(of, "patch", "operation")
		out = append(out, operation+" "+of["applyTo"].(string))
	}
	return out
}

var (
	http = egress.Port{Number: 80, Name: "http", Protocol: "HTTP"}
	tls  = egress.Port{Number: 443, Name: "tls", Protocol: "TLS"}
)

// TestTheExitOfAWildcard leads nowhere by itself, and each port of TLS has filters of its own.
func TestTheExitOfAWildcard(t *testing.T) {
	t.Parallel()
	alt := egress.Port{Number: 8443, Name: "alt", Protocol: "TLS"}
	plain := wildExit(resolving(egress.Plain), nil, nil, http, tls)
	assert.Equal(t, []string{"ServiceEntry", "EnvoyFilter", "VirtualService"}, kindsOf(plain))
	mutual := wildExit(resolving(egress.MutualTLS), nil, nil, http, tls, alt)
	assert.Equal(t, []string{"ServiceEntry", "EnvoyFilter", "Gateway", "VirtualService", "Gateway", "VirtualService", "VirtualService"}, kindsOf(mutual))
	for _, set := range [][]hop.Object{plain, mutual} {
		spec := &set[0].(*networkingv1.ServiceEntry).Spec
		require.Len(t, spec.Endpoints, 1)
		assert.Equal(t, "unused.invalid.", spec.Endpoints[0].Address)
		assert.Equal(t, "DNS", spec.Resolution.String(), "Envoy takes no other by the side of the patch")
		assert.Equal(t, []string{"."}, spec.ExportTo)
		filter := set[1].(*unstructured.Unstructured)
		assert.Equal(t, wild, filter.GetAnnotations()[hop.HostAnnotation])
		assert.Equal(t, hop.Manager, filter.GetLabels()[hop.ManagedByLabel])
		assert.Equal(t, "default", filter.GetLabels()[hop.GatewayLabel])
		selector, _, _ := unstructured.NestedStringMap(filter.Object, "spec", "workloadSelector", "labels")
		assert.Equal(t, map[string]string{"istio": "egressgateway"}, selector, "its pods alone")
		assert.NotPanics(t, func() { filter.DeepCopy() })
	}
	assert.Equal(t, []string{"MERGE CLUSTER", "INSERT_BEFORE NETWORK_FILTER", "INSERT_BEFORE NETWORK_FILTER"}, applied(plain[1]))
	door := []string{"MERGE NETWORK_FILTER", "ADD CLUSTER", "ADD LISTENER"}
	assert.Equal(t, slices.Concat([]string{"MERGE CLUSTER"}, door, door), applied(mutual[1]))
	assert.Equal(t, []string{"MERGE CLUSTER"}, applied(wildExit(resolving(egress.Plain), nil, nil, http)[1]))
	served := wildExit(resolving(egress.Plain), []egress.Endpoint{{Address: "www.amazonaws.com"}}, nil, http, tls)
	assert.Equal(t, []string{"ServiceEntry", "VirtualService"}, kindsOf(served), "with a host that serves it, it is an exit as others")
	assert.Empty(t, wildExit(egresstest.Mesh(), nil, nil, http, tls), "a gateway that resolves none has none, whatever is stored")
}

// TestAGatewayHasOneCache: of its filters and clusters, and under another name whenever anything else of it differs.
func TestAGatewayHasOneCache(t *testing.T) {
	t.Parallel()
	names := func(mesh *egress.Mesh) (out []string) {
		for _, object := range []hop.Object{hop.ResolverObject(mesh, mesh.Gateways[0]), wildExit(mesh, nil, nil, http, tls)[1]} {
			collect(object.(*unstructured.Unstructured).Object, "dns_cache_config", func(of any) { out = append(out, of.(map[string]any)["name"].(string)) })
		}
		slices.Sort(out)
		return out
	}
	mesh := resolving(egress.MutualTLS)
	before := names(mesh)
	assert.Len(t, before, 3, "HTTP, TLS and the clusters")
	assert.Len(t, slices.Compact(before), 1)
	mesh.ClusterCIDRs = []netip.Prefix{netip.MustParsePrefix("10.96.0.0/12")}
	after := slices.Compact(names(mesh))
	assert.Len(t, after, 1)
	assert.NotEqual(t, before[0], after[0], "Envoy takes no two caches of one name that differ")
	assert.Nil(t, hop.ResolverObject(mesh, egresstest.Mesh().Gateways[0]))
}

// collect calls with every value of a key.
func collect(in any, key string, with func(any)) {
	switch of := in.(type) {
	case map[string]any:
		for name, value := range of {
			if name == key {
				with(value)
			}
			collect(value, key, with)
		}
	case []any:
		for _, item := range of {
			collect(item, key, with)
		}
	}
}

// TestTheNameAndThePortAreTheCallers: a host below a wildcard is called at the port that is asked for, so a header that names
// none is only taken for the one that it means.
func TestTheNameAndThePortAreTheCallers(t *testing.T) {
	t.Parallel()
	alt := egress.Port{Number: 8080, Name: "alt", Protocol: "HTTP"}
	encrypted := []*egress.Rule{{Namespace: egresstest.Namespace, Name: "rule", Host: wild, Policy: map[string]any{"tls": map[string]any{"mode": "SIMPLE"}}}}
	for name, tc := range map[string]struct {
		rules []*egress.Rule
		ports []egress.Port
		want  []string
	}{
		"80":            {nil, []egress.Port{http}, []string{"[^:]*(:80)?"}},
		"8080":          {nil, []egress.Port{alt}, []string{".*:8080"}},
		"both":          {nil, []egress.Port{http, alt}, []string{".*:80", ".*:8080", "[^:]*"}},
		"80, encrypted": {encrypted, []egress.Port{http}, []string{".*:80"}},
	} {
		set := wildExit(resolving(egress.Plain), nil, tc.rules, tc.ports...)
		var got []string
		for _, route := range set[len(set)-1].(*networkingv1.VirtualService).Spec.Http {
			got = append(got, route.Match[0].Authority.GetRegex())
		}
		assert.Equal(t, tc.want, got, name)
	}
}
