package window

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	tls "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
)

// Mesh is what calls may end at without leaving it.
type Mesh struct {
	// Gateways are the Services of the egress gateways.
	Gateways map[string]bool
	// Pods are the addresses of its pods, GatewayPods those of the gateways' among them.
	Pods, GatewayPods map[string]bool
}

// Call is a host and the port on which it is called.
type Call struct {
	Host string
	Port uint32
}

const passthrough = "PassthroughCluster"

// Sidecar returns what in a sidecar's state leads a call straight out: any cluster that leads to what is neither a gateway
// nor a pod; a route that chooses its cluster by what the call says; and what no entry names, reached by a call for a name,
// or by one that is standing: of a host whose entry is stored and which the proxy knew before.
func (s *State) Sidecar(mesh Mesh, standing map[Call]bool) (out []string) {
	for _, name := range slices.Sorted(maps.Keys(s.Clusters)) {
		for _, address := range s.addresses(name) {
			if !mesh.Gateways[address] && !mesh.Pods[address] {
				out = append(out, fmt.Sprintf("cluster %s leads to %s", name, address))
			}
		}
	}
	named := map[Call]bool{}
	for _, name := range slices.Sorted(maps.Keys(s.Chains)) {
		for _, chain := range s.Chains[name] {
			s.name(named, chain)
			for _, leak := range s.leaks(chain) {
				out = append(out, fmt.Sprintf("listener %s: %s", name, leak))
			}
		}
	}
	for call := range standing {
		if !knows(named, call) {
			out = append(out, fmt.Sprintf("%s:%d has an entry, and the calls go where no entry leads them", call.Host, call.Port))
		}
	}
	slices.Sort(out)
	return out
}

// Gateway returns what in a gateway's state leads it to itself, or to another gateway.
func (s *State) Gateway(mesh Mesh) (out []string) {
	for _, name := range s.led() {
		for _, address := range s.addresses(name) {
			if mesh.Gateways[address] || mesh.GatewayPods[address] {
				out = append(out, fmt.Sprintf("calls are led to cluster %s, which leads to the gateway %s", name, address))
			}
		}
	}
	return out
}

// Reaches says whether calls of a gateway are led to a host and port outside, by the host's exit or by a subset of it: an exit has them
// where one port is encrypted for some calls and not for others.
func (s *State) Reaches(call Call, mesh Mesh) bool {
	before, after := fmt.Sprintf("outbound|%d|", call.Port), "|"+call.Host
	return slices.ContainsFunc(s.led(), func(name string) bool {
		if !strings.HasPrefix(name, before) || !strings.HasSuffix(name, after) {
			return false
		}
		at := s.addresses(name)
		return len(at) > 0 && !slices.ContainsFunc(at, func(address string) bool { return mesh.Gateways[address] })
	})
}

// Knows says whether a proxy tells the calls of a host and port from others.
func (s *State) Knows(call Call) bool {
	named := map[Call]bool{}
	for _, chains := range s.Chains {
		for _, chain := range chains {
			s.name(named, chain)
		}
	}
	return knows(named, call)
}

// knows says whether a call is for one of the names, which may be a wildcard.
func knows(named map[Call]bool, call Call) bool {
	if named[call] || named[Call{everyHost, call.Port}] {
		return true
	}
	for i := 1; i < len(call.Host); i++ {
		if call.Host[i] == '.' && named[Call{"*" + call.Host[i:], call.Port}] {
			return true
		}
	}
	return false
}

// Encrypts says whether a proxy encrypts calls for their host itself, as a rule has it, and not by the certificate of the mesh.
func (s *State) Encrypts(call Call) bool {
	c := s.Clusters[fmt.Sprintf("outbound|%d||%s", call.Port, call.Host)]
	return slices.ContainsFunc(append(sockets(c), c.GetTransportSocket()), func(socket *core.TransportSocket) bool {
		var of tls.UpstreamTlsContext
		if !socket.GetTypedConfig().MessageIs(&of) || socket.GetTypedConfig().UnmarshalTo(&of) != nil {
			return false
		}
		return len(of.GetCommonTlsContext().GetTlsCertificateSdsSecretConfigs()) == 0
	})
}

func sockets(c *cluster.Cluster) (out []*core.TransportSocket) {
	for _, match := range c.GetTransportSocketMatches() {
		out = append(out, match.TransportSocket)
	}
	return out
}

// addresses returns where the calls of a cluster end; nothing for one that is not there, or was told no endpoint yet.
func (s *State) addresses(name string) (out []string) {
	c := s.Clusters[name]
	switch {
	case c == nil || name == passthrough || strings.HasPrefix(name, "Inbound") || strings.HasPrefix(name, "inbound|"):
		return nil
	case c.GetClusterType() != nil:
		return []string{"whatever extension " + c.GetClusterType().GetName() + " resolves"}
	case c.GetType() == cluster.Cluster_ORIGINAL_DST:
		return []string{"whatever address is dialled"}
	case c.GetType() == cluster.Cluster_EDS:
		return addressesOf(s.Endpoints[serviceOf(c)])
	}
	return addressesOf(c.LoadAssignment)
}

func addressesOf(assignment *endpoint.ClusterLoadAssignment) (out []string) {
	for _, locality := range assignment.GetEndpoints() {
		for _, item := range locality.GetLbEndpoints() {
			address := item.GetEndpoint().GetAddress()
			if socket := address.GetSocketAddress(); socket != nil {
				out = append(out, socket.Address)
			} else {
				out = append(out, address.String())
			}
		}
	}
	return out
}

// everyHost stands for whatever is called on a port.
const everyHost = ""

// name notes the hosts that a chain is for, whatever address is dialled: by SNI, by the address of its listener where there
// is no SNI, or by Host. A chain of bytes for every address is for every host.
func (s *State) name(named map[Call]bool, chain Chain) {
	if !chain.Subnets {
		for _, name := range chain.Names {
			named[Call{name, chain.Port}] = true
		}
	}
	for _, name := range chain.Clusters {
		if parts := strings.Split(name, "|"); len(parts) == 4 && len(chain.Names) == 0 {
			named[Call{parts[3], chain.Port}] = true
		}
	}
	if chain.Anywhere && !chain.Subnets && len(chain.Names) == 0 && len(chain.Clusters) > 0 && !slices.Contains(chain.Clusters, passthrough) {
		named[Call{everyHost, chain.Port}] = true
	}
	for _, host := range s.routes(chain).GetVirtualHosts() {
		for _, domain := range host.Domains {
			named[Call{domain, chain.Port}] = true
		}
	}
}

// leaks returns how a chain leads out what it has a name for.
func (s *State) leaks(chain Chain) (out []string) {
	if (chain.Subnets || len(chain.Names) > 0) && slices.Contains(chain.Clusters, passthrough) {
		out = append(out, fmt.Sprintf("calls for %v go straight out", chain.Names))
	}
	for _, host := range s.routes(chain).GetVirtualHosts() {
		rest := slices.Equal(host.Domains, []string{"*"})
		for _, r := range host.Routes {
			for _, name := range clustersOf(r) {
				if name == anything || name == passthrough && !rest {
					out = append(out, fmt.Sprintf("calls for %s go straight out, by %s", host.Domains[0], name))
				}
			}
		}
	}
	return out
}

// anything stands for a cluster that the call itself chooses.
const anything = "a cluster that the call chooses"

// clustersOf returns where a route leads calls, and copies of them.
func clustersOf(r *route.Route) (out []string) {
	action := r.GetRoute()
	if action == nil {
		return nil
	}
	if action.GetCluster() != "" {
		out = append(out, action.GetCluster())
	}
	if action.GetClusterHeader() != "" || action.GetClusterSpecifierPlugin() != "" || action.GetInlineClusterSpecifierPlugin() != nil {
		out = append(out, anything)
	}
	for _, weighted := range action.GetWeightedClusters().GetClusters() {
		if out = append(out, weighted.Name); weighted.GetClusterHeader() != "" {
			out = append(out, anything)
		}
	}
	for _, mirror := range action.GetRequestMirrorPolicies() {
		if out = append(out, mirror.Cluster); mirror.GetClusterHeader() != "" {
			out = append(out, anything)
		}
	}
	return out
}

// led returns every cluster that some call is led to.
func (s *State) led() (out []string) {
	for _, chains := range s.Chains {
		for _, chain := range chains {
			out = append(out, chain.Clusters...)
			for _, host := range s.routes(chain).GetVirtualHosts() {
				for _, r := range host.Routes {
					out = append(out, clustersOf(r)...)
				}
			}
		}
	}
	return sorted(out)
}

// sorted returns each once.
func sorted(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}
