package window

import (
	"fmt"
	"slices"
	"testing"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	api     = "outbound|80||api.example.com"
	evil    = "outbound|80||evil.example.com"
	carried = "outbound|80||" + gatewayHost
)

// resolved is a cluster that a proxy resolves itself.
func resolved(name, address string) *cluster.Cluster {
	return &cluster.Cluster{
		Name: name, ClusterDiscoveryType: &cluster.Cluster_Type{Type: cluster.Cluster_STRICT_DNS}, LoadAssignment: assignment(name, address),
	}
}

func assignment(name, address string) *endpoint.ClusterLoadAssignment {
	of := &core.Address{Address: &core.Address_SocketAddress{SocketAddress: &core.SocketAddress{Address: address}}}
	return &endpoint.ClusterLoadAssignment{ClusterName: name, Endpoints: []*endpoint.LocalityLbEndpoints{{LbEndpoints: []*endpoint.LbEndpoint{{
		HostIdentifier: &endpoint.LbEndpoint_Endpoint{Endpoint: &endpoint.Endpoint{Address: of}},
	}}}}}
}

func to(action *route.RouteAction) []*route.Route {
	return []*route.Route{{Action: &route.Route_Route{Route: action}}}
}

func toCluster(name string) []*route.Route {
	return to(&route.RouteAction{ClusterSpecifier: &route.RouteAction_Cluster{Cluster: name}})
}

// governed is the state of a sidecar with one host, by HTTP and by TLS, whose calls go to the gateway.
func governed() *State {
	out := NewState()
	told := &cluster.Cluster{Name: carried, ClusterDiscoveryType: &cluster.Cluster_Type{Type: cluster.Cluster_EDS}}
	for _, of := range []*cluster.Cluster{
		resolved(api, gatewayHost), told, {Name: "BlackHoleCluster"},
		{Name: passthrough, ClusterDiscoveryType: &cluster.Cluster_Type{Type: cluster.Cluster_ORIGINAL_DST}},
	} {
		out.Clusters[of.Name] = of
	}
	out.Endpoints[carried] = assignment(carried, "10.1.0.5")
	out.Routes["80"] = &route.RouteConfiguration{Name: "80", VirtualHosts: []*route.VirtualHost{
		{Name: "api", Domains: []string{"api.example.com"}, Routes: toCluster(api)}, {Name: "allow_any", Domains: []string{"*"}, Routes: toCluster(passthrough)},
	}}
	out.Chains["0.0.0.0_80"] = []Chain{{Port: 80, Configuration: "80"}}
	out.Chains["0.0.0.0_443"] = []Chain{{Port: 443, Names: []string{"api.example.com"}, Clusters: []string{carried}}, {Port: 443, Clusters: []string{passthrough}}}
	out.Chains[virtualOutbound] = []Chain{{Clusters: []string{passthrough}}}
	return out
}

// TestTheJudge sees every way out of a sidecar, one at a time.
func TestTheJudge(t *testing.T) {
	t.Parallel()
	standing := map[Call]bool{{"api.example.com", 80}: true, {"api.example.com", 443}: true}
	assert.Empty(t, governed().Sidecar(mesh(), standing))
	for name, tc := range map[string]struct {
		change func(s *State)
		want   string
	}{
		"the host itself":     {func(s *State) { s.Clusters[api] = resolved(api, "api.example.com") }, "cluster " + api + " leads to api.example.com"},
		"another endpoint":    {func(s *State) { s.Clusters[evil] = resolved(evil, "203.0.113.66") }, "leads to 203.0.113.66"},
		"an endpoint told":    {func(s *State) { s.Endpoints[carried] = assignment(carried, "203.0.113.66") }, "leads to 203.0.113.66"},
		"whatever is dialled": {func(s *State) { s.Clusters[api].ClusterDiscoveryType = s.Clusters[passthrough].ClusterDiscoveryType }, "whatever address is dialled"},
		"whatever is resolved": {func(s *State) {
			s.Clusters[api].ClusterDiscoveryType = &cluster.Cluster_ClusterType{ClusterType: &cluster.Cluster_CustomClusterType{Name: "dns"}}
		}, "whatever extension dns resolves"},
		"a route": {func(s *State) { s.Routes["80"].VirtualHosts[0].Routes = toCluster(passthrough) }, "calls for api.example.com go straight out"},
		"a weight": {func(s *State) {
			s.Routes["80"].VirtualHosts[0].Routes = to(&route.RouteAction{ClusterSpecifier: &route.RouteAction_WeightedClusters{WeightedClusters: &route.WeightedCluster{
				Clusters: []*route.WeightedCluster_ClusterWeight{{Name: api}, {Name: passthrough}},
			}}})
		}, "calls for api.example.com go straight out"},
		"a mirror": {func(s *State) {
			s.Routes["80"].VirtualHosts[0].Routes[0].GetRoute().RequestMirrorPolicies = []*route.RouteAction_RequestMirrorPolicy{{Cluster: passthrough}}
		}, "calls for api.example.com go straight out"},
		"a cluster by header": {func(s *State) {
			s.Routes["80"].VirtualHosts[0].Routes = to(&route.RouteAction{ClusterSpecifier: &route.RouteAction_ClusterHeader{ClusterHeader: "x"}})
		}, "by " + anything},
		"a name of TLS":      {func(s *State) { s.Chains["0.0.0.0_443"][0].Clusters = []string{passthrough} }, "calls for [api.example.com] go straight out"},
		"no routes":          {func(s *State) { s.Routes["80"].VirtualHosts = s.Routes["80"].VirtualHosts[1:] }, "api.example.com:80 has an entry"},
		"no listener":        {func(s *State) { delete(s.Chains, "0.0.0.0_80") }, "api.example.com:80 has an entry"},
		"no name of TLS":     {func(s *State) { s.Chains["0.0.0.0_443"] = s.Chains["0.0.0.0_443"][1:] }, "api.example.com:443 has an entry"},
		"at some addresses":  {func(s *State) { s.Chains["0.0.0.0_443"][0].Subnets = true }, "api.example.com:443 has an entry"},
		"on another port":    {func(s *State) { s.Chains["0.0.0.0_443"][0].Port = 8443 }, "api.example.com:443 has an entry"},
		"a name not its own": {func(s *State) { s.Chains["0.0.0.0_443"][0].Names = []string{"b.example.com", "*.api.example.com"} }, "api.example.com:443 has an entry"},
	} {
		state := governed()
		tc.change(state)
		if found := state.Sidecar(mesh(), standing); assert.Len(t, found, 1, name) {
			assert.Contains(t, found[0], tc.want, name)
		}
	}
	wild := governed()
	wild.Chains["0.0.0.0_443"][0].Names = []string{"*.example.com"}
	assert.Empty(t, wild.Sidecar(mesh(), standing), "a wildcard stands for it")
	raw := governed()
	raw.Chains["0.0.0.0_5432"] = []Chain{{Port: 5432, Anywhere: true, Clusters: []string{api}}}
	database := map[Call]bool{{"db.example.com", 5432}: true}
	assert.Empty(t, raw.Sidecar(mesh(), database), "all that is called on the port is led to another host")
	raw.Chains["0.0.0.0_5432"][0].Anywhere = false
	assert.NotEmpty(t, raw.Sidecar(mesh(), database), "at an address of that host alone")
}

// TestTheJudgeOfGateways sees one that would call itself, and knows an exit.
func TestTheJudgeOfGateways(t *testing.T) {
	t.Parallel()
	of := Call{"api.example.com", 80}
	state := governed()
	assert.NotEmpty(t, state.Gateway(mesh()))
	assert.False(t, state.Reaches(of, mesh()))
	state.Chains["0.0.0.0_443"] = nil
	state.Clusters[api] = resolved(api, "api.example.com")
	assert.Empty(t, state.Gateway(mesh()))
	assert.True(t, state.Reaches(of, mesh()))
	state.Routes["80"].VirtualHosts = nil
	assert.False(t, state.Reaches(of, mesh()), "no call is led there")
	for name, reached := range map[string]bool{
		"outbound|80|other|api.example.com": true, "outbound|80||not.api.example.com": false, "outbound|8080|other|api.example.com": false,
	} {
		state := governed()
		state.Chains["0.0.0.0_443"] = []Chain{{Port: 443, Clusters: []string{name}}}
		state.Clusters[name] = resolved(name, "api.example.com")
		assert.Equal(t, reached, state.Reaches(of, mesh()), name)
	}
}

// TestTheJudgeSeesWhatNobodyGoverns: what istiod pushes of objects that were stored past admission.
func TestTheJudgeSeesWhatNobodyGoverns(t *testing.T) {
	const sealed = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: sealed, namespace: exempt}
spec:
  hosts: [a.leak.test, b.leak.test]
  exportTo: ["."]
  resolution: DNS
  endpoints: [{address: ` + gatewayHost + `, ports: {tls: 443}}]
  ports: [{number: 443, name: tls, protocol: TLS}]`
	routes := func(match string) string {
		return fmt.Sprintf("\n---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: leaking, namespace: exempt}\nspec: {hosts: [a.leak.test, b.leak.test], exportTo: ['.'], "+
			"tls: [{match: [%s], route: [{destination: {host: a.leak.test, port: {number: 443}}}]}]}", match)
	}
	f := sail(t, []Node{{Kind: "sidecar", Pod: "client", Namespace: "exempt", IP: "10.1.0.7"}})
	proxy := f.proxies["exempt"]
	standing := map[Call]bool{{"a.leak.test", 443}: true, {"b.leak.test", 443}: true}
	for name, tc := range map[string]struct{ manifests, want string }{
		"a bare entry": {`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: bare, namespace: exempt}
spec: {hosts: [bare.leak.test], exportTo: ["."], resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}`, "cluster outbound|443||bare.leak.test leads to bare.leak.test"},
		"one without resolution": {`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: bare, namespace: exempt}
spec: {hosts: [bare.leak.test], exportTo: ["."], resolution: NONE, ports: [{number: 80, name: http, protocol: HTTP}]}`, "cluster outbound|80||bare.leak.test leads to whatever address is dialled"},
		"routes that leave a host out": {sealed + routes("{sniHosts: [a.leak.test]}"), "b.leak.test:443 has an entry, and the calls go where no entry leads them"},
		"routes at some addresses":     {sealed + routes("{sniHosts: [a.leak.test, b.leak.test], destinationSubnets: [203.0.113.0/24]}"), "a.leak.test:443 has an entry, and the calls go where no entry leads them"},
	} {
		t.Run(name, func(t *testing.T) {
			objects := decode(t, tc.manifests)
			under := standing
			if len(objects) == 1 {
				under = nil
			}
			seen := proxy.Until(func(s *State) bool { return slices.Contains(s.Sidecar(mesh(), under), tc.want) })
			for i := range objects {
				require.NoError(t, tenant.Create(t.Context(), objects[i]))
				if i == 0 && len(objects) > 1 {
					// The entry alone leads to the gateway.
					await(t, proxy.Until(func(s *State) bool { return len(s.Sidecar(mesh(), standing)) == 0 }), "the entry")
				}
			}
			await(t, seen, tc.want)
			for i := range objects {
				require.NoError(t, tenant.Delete(t.Context(), objects[i]))
			}
			await(t, proxy.Until(func(s *State) bool { return len(s.Sidecar(mesh(), nil)) == 0 }), "that it is gone")
		})
	}
}
