// Package window looks for a window: it runs the real istiod against the embedded control plane, is told by it what
// sidecars and egress gateways are told, and judges every push while entries, rules and routes come, change and go.
package window

import (
	"bytes"
	"fmt"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcpproxy "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// The kinds of resources of which calls go by, in the order of ADS.
const (
	clusterType  = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
	endpointType = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
	listenerType = "type.googleapis.com/envoy.config.listener.v3.Listener"
	routeType    = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
)

// State is what one proxy goes by: the last that it was told of each resource.
type State struct {
	Clusters  map[string]*cluster.Cluster
	Endpoints map[string]*endpoint.ClusterLoadAssignment
	Chains    map[string][]Chain
	Routes    map[string]*route.RouteConfiguration

	// raw are the bytes of each listener, which is read once.
	raw map[string][]byte
}

// Chain is a filter chain of a listener for calls that leave the proxy, or come to a gateway.
type Chain struct {
	// Port is the listener's, 0 for the one that takes what no other does.
	Port uint32
	// Anywhere says that the listener is for every address.
	Anywhere bool
	// Names are the SNIs that the chain is for, Subnets says that it is for some addresses alone.
	Names   []string
	Subnets bool
	// Configuration names the routes of an HTTP chain, Routes are those that it has itself.
	Configuration string
	Routes        *route.RouteConfiguration
	// Clusters are those of a chain of bytes.
	Clusters []string
}

// virtualOutbound is the listener that takes what no other does.
const virtualOutbound = "virtualOutbound"

// NewState returns that of a proxy that was told nothing yet.
func NewState() *State {
	return &State{
		Clusters: map[string]*cluster.Cluster{}, Endpoints: map[string]*endpoint.ClusterLoadAssignment{},
		Chains: map[string][]Chain{}, Routes: map[string]*route.RouteConfiguration{}, raw: map[string][]byte{},
	}
}

// Apply takes a push. Clusters and listeners come whole; of endpoints and routes come those that changed.
func (s *State) Apply(push *discovery.DiscoveryResponse) error {
	switch push.TypeUrl {
	case clusterType:
		clear(s.Clusters)
		return each(push, func(c *cluster.Cluster, _ []byte) error { s.Clusters[c.Name] = c; return nil })
	case endpointType:
		return each(push, func(e *endpoint.ClusterLoadAssignment, _ []byte) error { s.Endpoints[e.ClusterName] = e; return nil })
	case routeType:
		return each(push, func(r *route.RouteConfiguration, _ []byte) error { s.Routes[r.Name] = r; return nil })
	case listenerType:
		known, chains := s.raw, s.Chains
		s.raw, s.Chains = map[string][]byte{}, map[string][]Chain{}
		return each(push, func(l *listener.Listener, raw []byte) (err error) {
			s.raw[l.Name] = raw
			if bytes.Equal(known[l.Name], raw) {
				s.Chains[l.Name] = chains[l.Name]
				return nil
			}
			s.Chains[l.Name], err = chainsOf(l)
			return err
		})
	}
	return fmt.Errorf("nobody asked for %s", push.TypeUrl)
}

func each[T any, P interface {
	*T
	proto.Message
}](push *discovery.DiscoveryResponse, take func(P, []byte) error) error {
	for _, resource := range push.Resources {
		message := P(new(T))
		if err := resource.UnmarshalTo(message); err != nil {
			return err
		}
		if err := take(message, resource.Value); err != nil {
			return err
		}
	}
	return nil
}

// chainsOf reads a listener; what comes to a sidecar's own workload is none of ours.
func chainsOf(l *listener.Listener) (out []Chain, err error) {
	if l.TrafficDirection == core.TrafficDirection_INBOUND {
		return nil, nil
	}
	address := l.GetAddress().GetSocketAddress()
	port, anywhere := address.GetPortValue(), address.GetAddress() == "0.0.0.0" || address.GetAddress() == "::"
	if l.Name == virtualOutbound {
		port = 0
	}
	all := l.FilterChains
	if l.DefaultFilterChain != nil {
		all = append(all[:len(all):len(all)], l.DefaultFilterChain)
	}
	for _, chain := range all {
		match := chain.GetFilterChainMatch()
		of := Chain{Port: port, Anywhere: anywhere, Names: match.GetServerNames(), Subnets: len(match.GetPrefixRanges()) > 0}
		for _, filter := range chain.Filters {
			if err := of.read(filter.GetTypedConfig()); err != nil {
				return nil, err
			}
		}
		out = append(out, of)
	}
	return out, nil
}

func (c *Chain) read(filter *anypb.Any) error {
	switch {
	case filter.MessageIs((*hcm.HttpConnectionManager)(nil)):
		var manager hcm.HttpConnectionManager
		if err := filter.UnmarshalTo(&manager); err != nil {
			return err
		}
		c.Configuration, c.Routes = manager.GetRds().GetRouteConfigName(), manager.GetRouteConfig()
	case filter.MessageIs((*tcpproxy.TcpProxy)(nil)):
		var of tcpproxy.TcpProxy
		if err := filter.UnmarshalTo(&of); err != nil {
			return err
		}
		if of.GetCluster() != "" {
			c.Clusters = append(c.Clusters, of.GetCluster())
		}
		for _, weighted := range of.GetWeightedClusters().GetClusters() {
			c.Clusters = append(c.Clusters, weighted.Name)
		}
	}
	return nil
}

// routes are those of a chain, nil for a chain of bytes, and for one whose routes were not told yet.
func (s *State) routes(chain Chain) *route.RouteConfiguration {
	if chain.Routes != nil {
		return chain.Routes
	}
	return s.Routes[chain.Configuration]
}

// wanted are the names of which a proxy asks for endpoints and routes.
func (s *State) wanted() (endpoints, routes []string) {
	for _, c := range s.Clusters {
		if c.GetType() == cluster.Cluster_EDS {
			endpoints = append(endpoints, serviceOf(c))
		}
	}
	for _, chains := range s.Chains {
		for _, chain := range chains {
			if chain.Configuration != "" {
				routes = append(routes, chain.Configuration)
			}
		}
	}
	return sorted(endpoints), sorted(routes)
}

func serviceOf(c *cluster.Cluster) string {
	if name := c.GetEdsClusterConfig().GetServiceName(); name != "" {
		return name
	}
	return c.Name
}
