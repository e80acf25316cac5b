package routing

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pilot/test/xds"
	"istio.io/istio/pkg/config"
	"istio.io/istio/pkg/config/schema/gvk"
	"istio.io/istio/pkg/log"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// size is that of a gateway's configuration, in bytes of the messages that it is sent.
type size struct{ listeners, routes, clusters int }

// tenants is how many namespaces the entries of many hosts lie in.
const tenants = 50

// hosts are entries of n hosts, each private to one of the tenants.
func hosts(transport egress.Transport, n int) (out []*egress.Entry) {
	for i := range n {
		out = append(out, entryOf(transport, fmt.Sprintf("host-%04d.example.com", i), fmt.Sprintf("ns-%02d", i%tenants)))
	}
	return out
}

// wildcards are entries of n wildcards that no endpoint serves, as those of hosts.
func wildcards(transport egress.Transport, n int) (out []*egress.Entry) {
	for i := range n {
		of := entryOf(transport, fmt.Sprintf("*.cloud-%04d.example.com", i), fmt.Sprintf("ns-%02d", i%tenants))
		of.Ports = of.Ports[:2]
		of.Definition = (&egress.ServiceEntry{Resolution: "DYNAMIC_DNS", Ports: of.Ports}).Define()
		out = append(out, of)
	}
	return out
}

// passages are entries of n hosts that all go over to a gateway at once.
func passages(transport egress.Transport, n int) []*egress.Entry {
	out := hosts(transport, n)
	for _, of := range out {
		of.Passing = true
	}
	return out
}

// callers are entries of one host, each private to a namespace of its own.
func callers(transport egress.Transport, n int) (out []*egress.Entry) {
	for i := range n {
		out = append(out, entryOf(transport, "shared.example.com", fmt.Sprintf("ns-%04d", i)))
	}
	return out
}

// entryOf has a port of each family that the transport carries.
func entryOf(transport egress.Transport, host, namespace string) *egress.Entry {
	ports := []egress.Port{{Number: 80, Name: "http", Protocol: "HTTP"}, {Number: 443, Name: "tls", Protocol: "TLS"}}
	if transport == egress.MutualTLS {
		ports = append(ports, egress.Port{Number: 5432, Name: "tcp", Protocol: "TCP"})
	}
	out := egresstest.Sealed(host, ports...)
	out.Namespace, out.ExportTo, out.Transport = namespace, []string{namespace}, transport
	return out
}

// exits returns what the product keeps beside a gateway for the exits of entries, of namespaces with two service accounts.
func exits(transport egress.Transport, entries []*egress.Entry) (out []hop.Object) {
	mesh, view := byMutualTLS(), egresstest.NewCluster()
	gw := &mesh.Gateways[0]
	gw.Transport, gw.Wildcards = transport, egress.IsWildcard(entries[0].Hosts[0])
	view.Accounts, view.Leaving = map[string][]string{}, map[string]string{}
	byHost := map[string][]*egress.Entry{}
	var order []string
	for _, entry := range entries {
		view.Accounts[entry.Namespace], view.Leaving[entry.Namespace] = []string{"default", "app"}, gw.Name
		host := entry.Hosts[0]
		if byHost[host] == nil {
			order = append(order, host)
		}
		byHost[host] = append(byHost[host], entry)
	}
	out = append(out, hop.GatewayObject(*gw, gw.Transport))
	if resolver := hop.ResolverObject(mesh, *gw); resolver != nil {
		out = append(out, resolver)
	}
	for _, host := range order {
		exit := mesh.ExitOf(byHost[host], gw.Namespace(), func(string) *egress.Rule { return nil })
		out = append(out, hop.ExitSet(mesh, exit, view, gw.Namespace(), host)...)
	}
	return out
}

// configs returns objects as Istio's generator takes them; through YAML it would take minutes.
func configs(t testing.TB, objects []hop.Object) (out []config.Config) {
	t.Helper()
	for _, object := range objects {
		c := config.Config{Meta: config.Meta{
			Name: object.GetName(), Namespace: object.GetNamespace(), Labels: object.GetLabels(), Annotations: object.GetAnnotations(), Domain: "cluster.local",
			CreationTimestamp: time.Unix(1000, 0),
		}}
		switch typed := object.(type) {
		case *networkingv1.ServiceEntry:
			c.GroupVersionKind, c.Spec = gvk.ServiceEntry, &typed.Spec
		case *networkingv1.Gateway:
			c.GroupVersionKind, c.Spec = gvk.Gateway, &typed.Spec
		case *networkingv1.VirtualService:
			c.GroupVersionKind, c.Spec = gvk.VirtualService, &typed.Spec
		case *unstructured.Unstructured:
			c.GroupVersionKind, c.Spec = gvk.EnvoyFilter, &networking.EnvoyFilter{}
			if typed.GroupVersionKind() != hop.EnvoyFilter {
				require.Equal(t, "DestinationRule", typed.GetKind())
				c.GroupVersionKind, c.Spec = gvk.DestinationRule, &networking.DestinationRule{}
			}
			raw, err := json.Marshal(typed.Object["spec"])
			require.NoError(t, err)
			require.NoError(t, json.Unmarshal(raw, c.Spec))
		default:
			require.Fail(t, "a kind that the generator is not given", "%T", object)
		}
		out = append(out, c)
	}
	return out
}

// measured returns the size of the configuration that Istio generates for a gateway with the exits of entries.
func measured(t testing.TB, transport egress.Transport, entries []*egress.Entry) (out size) {
	t.Helper()
	server := xds.NewFakeDiscoveryServer(t, xds.FakeOptions{Configs: configs(t, exits(transport, entries)), KubernetesObjectString: waysService})
	labels := map[string]string{"istio": "egressgateway"}
	gateway := server.SetupProxy(&model.Proxy{
		Type: model.Router, ID: "gateway.ways", ConfigNamespace: "ways", IPAddresses: []string{"10.1.0.2"},
		Labels: labels, Metadata: &model.NodeMetadata{Namespace: "ways", Labels: labels},
	})
	for _, listener := range server.Listeners(gateway) {
		out.listeners += proto.Size(listener)
	}
	for _, routes := range server.Routes(gateway) {
		out.routes += proto.Size(routes)
	}
	for _, cluster := range server.Clusters(gateway) {
		out.clusters += proto.Size(cluster)
	}
	return out
}

// pieces names the kinds of configuration.
func (s size) pieces() map[string]int {
	return map[string]int{"listeners": s.listeners, "routes": s.routes, "clusters": s.clusters}
}

// surplus returns by how much one more costs more at 10 units than between 1 and 2 of them, as a share of that, for the kind
// of configuration where that is most. What there is without any does not count.
func surplus(t testing.TB, transport egress.Transport, entries func(transport egress.Transport, n int) []*egress.Entry, unit int) (out float64) {
	t.Helper()
	few, some, many := measured(t, transport, entries(transport, unit)), measured(t, transport, entries(transport, 2*unit)), measured(t, transport, entries(transport, 10*unit))
	for piece, first := range few.pieces() {
		require.NotZero(t, first, piece)
		each := float64(some.pieces()[piece]-first) / float64(unit)
		fixed := float64(first) - each*float64(unit)
		if last := (float64(many.pieces()[piece]) - fixed) / float64(10*unit); last > each {
			out = max(out, last/each-1)
		}
	}
	return out
}

// TestTheGatewaysConfigurationGrowsLinearly, with the exits and with the namespaces that call one: what each costs at ten
// units is what it costs at one.
func TestTheGatewaysConfigurationGrowsLinearly(t *testing.T) {
	for _, transport := range egress.Transports() {
		for name, of := range map[string]struct {
			entries func(transport egress.Transport, n int) []*egress.Entry
			unit    int
		}{"exits": {hosts, 100}, "callers": {callers, 100}, "wildcards": {wildcards, 20}} {
			t.Run(fmt.Sprintf("%s by %s", name, transport), func(t *testing.T) {
				assert.LessOrEqual(t, surplus(t, transport, of.entries, of.unit), 0.1)
			})
		}
	}
}

// TestMoreThanLinearIsSeen: as many callers of every host as there are hosts.
func TestMoreThanLinearIsSeen(t *testing.T) {
	each := func(transport egress.Transport, n int) (out []*egress.Entry) {
		for host := range n {
			for caller := range n {
				out = append(out, entryOf(transport, fmt.Sprintf("host-%04d.example.com", host), fmt.Sprintf("ns-%04d", caller)))
			}
		}
		return out
	}
	assert.Greater(t, surplus(t, egress.MutualTLS, each, 10), 0.1)
}

// BenchmarkGatewayConfiguration measures what docs/install.md says of the size of the configuration.
func BenchmarkGatewayConfiguration(b *testing.B) {
	for _, scope := range log.Scopes() {
		scope.SetOutputLevel(log.NoneLevel)
	}
	for _, tc := range []struct {
		name    string
		entries func(transport egress.Transport, n int) []*egress.Entry
		n       int
	}{
		{"Exits=100", hosts, 100}, {"Exits=1000", hosts, 1000}, {"Exits=5000", hosts, 5000},
		{"Wildcards=100", wildcards, 100}, {"Passages=100", passages, 100}, {"Passages=1000", passages, 1000},
		{"Exits=1/Callers=100", callers, 100}, {"Exits=1/Callers=1000", callers, 1000},
	} {
		for _, transport := range egress.Transports() {
			b.Run(fmt.Sprintf("%s/%s", tc.name, transport), func(b *testing.B) {
				var got size
				for b.Loop() {
					got = measured(b, transport, tc.entries(transport, tc.n))
				}
				for piece, bytes := range got.pieces() {
					b.ReportMetric(float64(bytes), piece+"-B")
				}
			})
		}
	}
}
