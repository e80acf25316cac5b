package registry_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/internal/registry"
)

const gatewayService = "istio-egressgateway.istio-system.svc.cluster.local"

func newRegistry(t testing.TB, governed string) *registry.Registry {
	t.Helper()
	selector, err := labels.Parse(governed)
	require.NoError(t, err)
	out := registry.New(&egress.Mesh{ClusterDomain: "cluster.local", Governed: selector, Gateways: []egress.Gateway{{
		Name: "default", Service: gatewayService, HTTPPort: 80, TLSPort: 443, Clients: labels.Everything(),
	}}})
	for _, name := range []string{"a", "b"} {
		out.PutNamespace(name, nil)
	}
	return out
}

func object(t testing.TB, kind, namespace, name, spec string, created time.Duration) *unstructured.Unstructured {
	t.Helper()
	out := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "networking.istio.io/v1", "kind": kind}}
	var fields map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(spec), &fields))
	out.Object["spec"] = fields
	out.SetNamespace(namespace)
	out.SetName(name)
	out.SetCreationTimestamp(metav1.NewTime(time.Unix(1000, 0).Add(created)))
	return out
}

const sealed = `{hosts: [Api.example.com.], resolution: DNS, endpoints: [{address: ` + gatewayService + `}], ports: [{number: 443, name: tls, protocol: TLS}]}`

func put(t testing.TB, r *registry.Registry, object *unstructured.Unstructured) {
	t.Helper()
	require.NoError(t, r.Put(object))
}

func names(entries []*egress.Entry) []string {
	out := []string{}
	for _, entry := range entries {
		out = append(out, entry.Namespace+"/"+entry.Name)
	}
	return out
}

func TestEntriesComeOldestFirst(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "")
	var touched [][]string
	r.OnChange(func(change registry.Change) { touched = append(touched, change.Hosts) })
	touched = nil
	put(t, r, object(t, "ServiceEntry", "b", "young", sealed, time.Minute))
	put(t, r, object(t, "ServiceEntry", "b", "same", sealed, 0))
	put(t, r, object(t, "ServiceEntry", "a", "same", sealed, 0))
	assert.Equal(t, []string{"a/same", "b/same", "b/young"}, names(r.Entries("api.example.com")))
	assert.Equal(t, "default", r.Entries("api.example.com")[0].Gateway)
	put(t, r, object(t, "ServiceEntry", "a", "same", `{hosts: [new.example.com]}`, 0))
	assert.Equal(t, []string{"b/same", "b/young"}, names(r.Entries("api.example.com")))
	assert.Equal(t, []string{"api.example.com", "new.example.com"}, touched[3], "hosts before and after")
	r.DeleteEntry("a", "same")
	assert.Empty(t, r.Entries("new.example.com"))
	assert.Equal(t, []string{"new.example.com"}, touched[4])
}

// TestUngovernedNamespacesOwnNothing: their entries are known, since clients see them, and lead to no gateway.
func TestUngovernedNamespacesOwnNothing(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "!exempt")
	var touched []string
	r.OnChange(func(change registry.Change) { touched = append(touched, change.Hosts...) })
	put(t, r, object(t, "ServiceEntry", "a", "e", sealed, 0))
	require.Len(t, r.Entries("api.example.com"), 1)
	r.PutNamespace("a", map[string]string{"exempt": "true"})
	gateways := func() (out []string) {
		for _, entry := range r.Entries("api.example.com") {
			out = append(out, entry.Gateway)
		}
		return out
	}
	assert.Equal(t, []string{""}, gateways())
	assert.Nil(t, r.Exit("api.example.com", "istio-system"))
	assert.NotEmpty(t, touched[1:], "its hosts are looked at again")
	put(t, r, object(t, "ServiceEntry", "never-seen", "e", sealed, 0))
	assert.Equal(t, []string{"", ""}, gateways())
	assert.Equal(t, []string{"a/e", "never-seen/e"}, r.Ungoverned())
	put(t, r, object(t, "ServiceEntry", "never-seen", "e", `{hosts: [private.example.com], exportTo: ["."]}`, 0))
	assert.Equal(t, []string{"a/e"}, r.Ungoverned(), "nobody else sees it")
	put(t, r, object(t, "ServiceEntry", "never-seen", "e", `{hosts: [named.example.com], exportTo: [b]}`, 0))
	assert.Equal(t, []string{"a/e", "never-seen/e"}, r.Ungoverned())
	r.PutNamespace("a", nil)
	assert.Equal(t, []string{"default"}, gateways())
	assert.NotNil(t, r.Exit("api.example.com", "istio-system"))
}

func TestSealThatCannotBeExpressedIsNone(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "")
	put(t, r, object(t, "ServiceEntry", "a", "e", `{hosts: [db.example.com], resolution: DNS, endpoints: [{address: `+gatewayService+`}], ports: [{number: 5432, name: db, protocol: TCP}]}`, 0))
	require.Len(t, r.Entries("db.example.com"), 1)
	assert.Empty(t, r.Entries("db.example.com")[0].Gateway)
}

// TestATunnelClosesNoExit: what is stored with one keeps its exit, which has none.
func TestATunnelClosesNoExit(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "")
	entry := object(t, "ServiceEntry", "a", "e", sealed, 0)
	entry.SetAnnotations(map[string]string{
		hop.IntentAnnotation: `[{"was": [{"address": "203.0.113.7", "labels": {"networking.istio.io/tunnel": "http"}}], "now": [{"address": "` + gatewayService + `"}], "paths": ["spec.endpoints"]}]`,
	})
	put(t, r, entry)
	require.Len(t, r.Entries("api.example.com"), 1)
	assert.Equal(t, "default", r.Entries("api.example.com")[0].Gateway)
	assert.Equal(t, "203.0.113.7", r.Exit("api.example.com", "istio-system").Definition.Endpoints[0].Address)
}

// TestWhatWasStoredBeforeHasItsExit: weights, and endpoints in clusterCIDRs, are refused by now where somebody writes them.
func TestWhatWasStoredBeforeHasItsExit(t *testing.T) {
	t.Parallel()
	gw := egress.Gateway{Name: "default", Service: gatewayService, HTTPPort: 80, TLSPort: 443, Clients: labels.Everything()}
	mesh := &egress.Mesh{
		ClusterDomain: "cluster.local", Governed: labels.Everything(), Seal: true, Gateways: []egress.Gateway{gw},
		ClusterCIDRs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
	}
	for _, endpoints := range []string{`{address: 203.0.113.7, weight: 9000}, {address: 203.0.113.8}`, `{address: 10.1.2.3}`} {
		r := registry.New(mesh)
		r.PutNamespace("a", nil)
		entry := object(t, "ServiceEntry", "a", "x", `{hosts: [api.example.com], resolution: STATIC, endpoints: [`+endpoints+`], ports: [{number: 443, name: tls, protocol: TLS}]}`, 0)
		sealed, err := hop.Seal(entry, gw, mesh)
		require.NoError(t, err)
		put(t, r, sealed)
		assert.NotNil(t, r.Exit("api.example.com", "istio-system"), endpoints)
	}
}

func TestServicesAndRules(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "")
	grpc := "grpc"
	r.PutService(&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "s"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{
		{Name: "http2-web", Port: 80}, {Name: "x", Port: 81, AppProtocol: &grpc},
	}}})
	const host = "s.a.svc.cluster.local"
	assert.Equal(t, "HTTP2", r.Service(host).Protocol(80))
	assert.Equal(t, "GRPC", r.Service(host).Protocol(81))
	assert.Empty(t, r.Service(host).Protocol(82))
	r.DeleteService("a", "s")
	assert.Nil(t, r.Service(host))
	assert.Empty(t, r.Service(host).Protocol(80))

	put(t, r, object(t, "DestinationRule", "a", "d", `{host: api.example.com, trafficPolicy: {tls: {mode: SIMPLE}}}`, 0))
	assert.True(t, r.Rule("a", "api.example.com").HasPolicy())
	assert.False(t, r.Rule("b", "api.example.com").HasPolicy())
	put(t, r, object(t, "DestinationRule", "a", "d", `{host: api.example.com}`, 0))
	assert.False(t, r.Rule("a", "api.example.com").HasPolicy())
}

func TestChangesOfTheGatewaysServiceReachItsHosts(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "")
	gw := egress.Gateway{Name: "default", Service: gatewayService, HTTPPort: 80, TLSPort: 443}
	put(t, r, object(t, "ServiceEntry", "a", "sealed", sealed, 0))
	var told [][]types.NamespacedName
	r.OnChange(func(change registry.Change) { told = append(told, change.Entries) })
	told = nil
	require.Len(t, gw.Problems(r.Service(gw.Service)), 1)
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: gw.Namespace(), Name: gw.ServiceName()}}
	service.Spec.Ports = []corev1.ServicePort{{Port: 80}, {Port: 443}}
	r.PutService(service)
	assert.Empty(t, gw.Problems(r.Service(gw.Service)))
	r.PutService(service.DeepCopy())
	r.DeleteService(service.Namespace, service.Name)
	sealedEntry := []types.NamespacedName{{Namespace: "a", Name: "sealed"}}
	assert.Equal(t, [][]types.NamespacedName{sealedEntry, sealedEntry}, told, "what changes nothing is not told")
}

// TestWhoeverListensLateHearsEverything: a leader that is elected later knows what came before.
func TestWhoeverListensLateHearsEverything(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "")
	put(t, r, object(t, "ServiceEntry", "a", "e", sealed, 0))
	put(t, r, object(t, "ServiceEntry", "ungoverned", "e", sealed, 0))
	var heard []registry.Change
	r.OnChange(func(change registry.Change) { heard = append(heard, change) })
	require.Equal(t, []registry.Change{{
		Hosts: []string{"api.example.com"}, Entries: []types.NamespacedName{{Namespace: "a", Name: "e"}},
		Clients: []registry.Client{{Namespace: "a", Host: "api.example.com"}}, Namespaces: []string{"a", "b"},
	}}, heard)
	r.PutNamespace("c", nil)
	r.PutNamespace("c", map[string]string{"team": "c"})
	r.PutNamespace("c", map[string]string{"team": "c"})
	require.Len(t, heard, 3, "policies select by labels; the same ones are no change")
	assert.Equal(t, []string{"c"}, heard[1].Namespaces)
}

// TestClientsWithARuleHearOfTheHost, whose entry is another namespace's.
func TestClientsWithARuleHearOfTheHost(t *testing.T) {
	t.Parallel()
	of := registry.Client{Namespace: "b", Host: "api.example.com"}
	r := newRegistry(t, "")
	rule := object(t, "DestinationRule", "b", "r", "{host: api.example.com}", 0)
	put(t, r, rule)
	var told []registry.Client
	r.OnChange(func(change registry.Change) { told = change.Clients })
	put(t, r, object(t, "ServiceEntry", "a", "x", `{hosts: [api.example.com], resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}`, 0))
	assert.Contains(t, told, of)
	r.OnChange(func(change registry.Change) { told = change.Clients })
	assert.Contains(t, told, of, "who listens late hears of it, too")
	r.Remove(rule)
	assert.Contains(t, told, of)
	r.DeleteEntry("a", "x")
	assert.NotContains(t, told, of)
}

// TestAStatusIsNoChange: what a controller writes into an entry's status does not come back to it.
func TestAStatusIsNoChange(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "")
	entry := object(t, "ServiceEntry", "a", "e", sealed, 0)
	put(t, r, entry)
	var heard []registry.Change
	r.OnChange(func(change registry.Change) { heard = append(heard, change) })
	before := r.Entries("api.example.com")[0]
	entry.SetResourceVersion("7")
	require.NoError(t, unstructured.SetNestedSlice(entry.Object, []any{map[string]any{"type": "ExitReady"}}, "status", "conditions"))
	put(t, r, entry)
	assert.Len(t, heard, 1, "nothing after what was there")
	stored := r.Stored(types.NamespacedName{Namespace: "a", Name: "e"})
	assert.Equal(t, "7", stored.ResourceVersion)
	assert.Len(t, stored.Conditions(), 1)
	assert.Same(t, before, r.Entries("api.example.com")[0])
}

// TestReadersKeepWhatTheyWereGiven while entries come and go in every order.
func TestReadersKeepWhatTheyWereGiven(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "")
	for i := range 5 {
		put(t, r, object(t, "ServiceEntry", "a", fmt.Sprint(i), sealed, time.Duration(i)*time.Second))
	}
	given := r.Entries("api.example.com")
	want := names(given)
	r.DeleteEntry("a", "2")
	put(t, r, object(t, "ServiceEntry", "a", "older", sealed, -time.Second))
	put(t, r, object(t, "ServiceEntry", "a", "newest", sealed, time.Hour))
	r.DeleteEntry("a", "newest")
	put(t, r, object(t, "ServiceEntry", "a", "newer", sealed, time.Hour))
	assert.Equal(t, want, names(given))
	assert.Equal(t, []string{"a/older", "a/0", "a/1", "a/3", "a/4", "a/newer"}, names(r.Entries("api.example.com")))
}

// TestAnExitIsOfWhatIsStored, whenever it was asked for before.
func TestAnExitIsOfWhatIsStored(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "")
	members := func() []string {
		exit := r.Exit("api.example.com", "istio-system")
		if exit == nil {
			return nil
		}
		var entries []*egress.Entry
		for _, member := range exit.Members {
			entries = append(entries, member.Entry)
		}
		return names(entries)
	}
	assert.Empty(t, members())
	put(t, r, object(t, "ServiceEntry", "a", "e", sealed, 0))
	assert.Equal(t, []string{"a/e"}, members())
	assert.Equal(t, []string{"a/e"}, members())
	put(t, r, object(t, "ServiceEntry", "a", "older", sealed, -time.Second))
	assert.Equal(t, []string{"a/older", "a/e"}, members())
	r.DeleteEntry("a", "older")
	assert.Equal(t, []string{"a/e"}, members())
	r.DeleteNamespace("a")
	assert.Empty(t, members())
	assert.Nil(t, r.Exit("api.example.com", "elsewhere"))
}

// BenchmarkEntryComes is the cost of one more entry of a host that has many.
func BenchmarkEntryComes(b *testing.B) {
	for _, count := range []int{10, 1000, 10000} {
		b.Run(fmt.Sprintf("entries=%d", count), func(b *testing.B) {
			r := registry.New(&egress.Mesh{ClusterDomain: "cluster.local", Governed: labels.Everything(), Gateways: []egress.Gateway{{
				Name: "default", Service: gatewayService, HTTPPort: 80, TLSPort: 443, Clients: labels.Everything(),
			}}})
			r.PutNamespace("a", nil)
			stored := func(i int) *registry.Stored {
				name := fmt.Sprintf("e%09d", i)
				return &registry.Stored{
					Identity: registry.Identity{Namespace: "a", Name: name},
					Entry:    &egress.Entry{Namespace: "a", Name: name, Hosts: []string{"api.example.com"}, External: true, Gateway: "default"},
				}
			}
			for i := range count {
				r.PutEntry(stored(i))
			}
			b.ReportAllocs()
			next := count
			for b.Loop() {
				r.PutEntry(stored(next))
				next++
			}
		})
	}
}

// TestAddressesOfServicesAreKnown, in the cluster and outside, while they have them.
func TestAddressesOfServicesAreKnown(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "")
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "s"}}
	service.Spec.ClusterIP, service.Spec.ClusterIPs, service.Spec.ExternalIPs = "10.0.0.5", []string{"10.0.0.5", "fd00::5"}, []string{"203.0.113.5"}
	service.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "198.51.100.5"}, {Hostname: "lb.example.com"}}
	r.PutService(service)
	for _, ip := range []string{"10.0.0.5", "fd00::5", "203.0.113.5", "198.51.100.5"} {
		assert.Equal(t, "s.a.svc.cluster.local", r.ServiceAt(netip.MustParseAddr(ip)), ip)
	}
	service.Spec.ExternalIPs = nil
	r.PutService(service)
	assert.Empty(t, r.ServiceAt(netip.MustParseAddr("203.0.113.5")))
	r.DeleteService("a", "s")
	assert.Empty(t, r.ServiceAt(netip.MustParseAddr("10.0.0.5")))
}

// TestAnAddressIsNotForgottenWithOneWhoClaimsIt beside the Service that has it.
func TestAnAddressIsNotForgottenWithOneWhoClaimsIt(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "")
	kubernetes, claim := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "kubernetes"}}, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "claim"}}
	kubernetes.Spec.ClusterIP, claim.Spec.ClusterIP, claim.Spec.ExternalIPs = "10.96.0.1", "10.96.0.9", []string{"10.96.0.1"}
	r.PutService(kubernetes)
	r.PutService(claim)
	r.DeleteService("a", "claim")
	assert.Equal(t, "kubernetes.default.svc.cluster.local", r.ServiceAt(netip.MustParseAddr("10.96.0.1")))
	r.DeleteService("default", "kubernetes")
	assert.Empty(t, r.ServiceAt(netip.MustParseAddr("10.96.0.1")))
}

// TestAddressesThatIstiodGaveAreKnown, which come after the entry and change without it.
func TestAddressesThatIstiodGaveAreKnown(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "")
	put := func(name string, addresses ...any) {
		object := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"hosts": []any{name + ".example.com"}, "resolution": "DNS"}}}
		object.SetNamespace("a")
		object.SetName(name)
		if len(addresses) > 0 {
			object.Object["status"] = map[string]any{"addresses": addresses}
		}
		r.PutEntry(r.Read(object))
	}
	address := func(value string) any { return map[string]any{"value": value, "host": "a.example.com"} }
	of := func(ip string) []string { return r.GivenTo(netip.MustParseAddr(ip)) }
	put("one")
	assert.Empty(t, of("240.240.0.1"))
	put("one", address("240.240.0.1"), address("2001:2::f0f0:1"), address("no address"), "odd")
	put("two", address("240.240.0.1"))
	assert.Equal(t, []string{"a/one", "a/two"}, of("240.240.0.1"))
	assert.Equal(t, []string{"a/one"}, of("2001:2::f0f0:1"))
	put("one", address("240.240.0.9"))
	assert.Equal(t, []string{"a/two"}, of("240.240.0.1"))
	assert.Empty(t, of("2001:2::f0f0:1"))
	r.DeleteEntry("a", "one")
	r.DeleteEntry("a", "two")
	assert.Empty(t, of("240.240.0.9"))
	assert.Empty(t, of("240.240.0.1"))
}

// TestRoutesThatDecideAreKnown by the Gateway object that they bind to.
func TestRoutesThatDecideAreKnown(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "")
	put(t, r, object(t, "VirtualService", "a", "taker", `{hosts: [x.test], gateways: [out, b/in], http: [{route: [{destination: {host: y.test}}]}]}`, 0))
	assert.Equal(t, []string{"a/taker"}, r.Deciding("a", "out"))
	assert.Equal(t, []string{"a/taker"}, r.Deciding("b", "in"))
	assert.Empty(t, r.Deciding("a", "other"))
	r.DeleteRoutes("a", "taker")
	assert.Empty(t, r.Deciding("a", "out"))
}

// TestWhatInjectedRoutesMeanIsKnown by what their author wrote: as they are stored they lead to a gateway.
func TestWhatInjectedRoutesMeanIsKnown(t *testing.T) {
	t.Parallel()
	mesh := egresstest.Mesh()
	r := registry.New(mesh)
	injected := object(t, "VirtualService", "a", "one", `{hosts: [front.test], http: [{route: [{destination: {host: `+gatewayService+`, port: {number: 80}}}]}]}`, 0)
	injected.SetAnnotations(map[string]string{"egress-governor.io/intent": `[{"was": {"host": "api.example.com"}, "now": {"host": "` + gatewayService + `", "port": {"number": 80}}, "paths": ["spec.http[0].route[0].destination"]}]`})
	of := egress.Mapping{Host: "api.example.com", Needs: egress.NeedsSeveral}
	raw, err := injected.MarshalJSON()
	require.NoError(t, err)
	require.NoError(t, injected.UnmarshalJSON(raw), "numbers are as the API server's are")
	r.PutRoutes(injected)
	assert.Len(t, r.Mapped(of), 1)
	r.DeleteRoutes("a", "one")
	assert.Empty(t, r.Mapped(of))
}

// TestPairsAreKnownWhileARouteMakesThem, by whichever of several.
func TestPairsAreKnownWhileARouteMakesThem(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "")
	var touched []string
	r.OnChange(func(change registry.Change) { touched = append(touched, change.Hosts...) })
	pair := egress.Pair{Asked: "front.test", Led: "api.example.com"}
	injected := func(name string) *unstructured.Unstructured {
		out := object(t, "VirtualService", "a", name, `{hosts: [front.test], http: [{route: [{destination: {host: `+gatewayService+`, port: {number: 80}},
			headers: {request: {set: {host: `+pair.Host()+`}}}}]}]}`, 0)
		out.SetAnnotations(map[string]string{"egress-governor.io/intent": `[{"now": {"request": {"set": {"host": "` + pair.Host() + `"}}}, "paths": ["spec.http[0].route[0].headers"]},
			{"was": {"host": "api.example.com"}, "now": {"host": "` + gatewayService + `", "port": {"number": 80}}, "paths": ["spec.http[0].route[0].destination"]}]`})
		return out
	}
	put(t, r, injected("one"))
	put(t, r, injected("two"))
	assert.Equal(t, []string{pair.Host()}, r.PairsTo("api.example.com"))
	assert.Len(t, r.LeadingTo("api.example.com"), 2, "they follow the rule of the host that they lead to")
	got, known := r.Pair(pair.Host())
	assert.True(t, known)
	assert.Equal(t, pair, got)
	r.DeleteRoutes("a", "one")
	_, known = r.Pair(pair.Host())
	assert.True(t, known)
	put(t, r, object(t, "VirtualService", "a", "two", `{hosts: [front.test]}`, 0))
	_, known = r.Pair(pair.Host())
	assert.False(t, known)
	assert.Empty(t, r.PairsTo("api.example.com"))
	assert.Contains(t, touched, pair.Host())
}
