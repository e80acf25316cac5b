package routing

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"testing"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	dfpcluster "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/dynamic_forward_proxy/v3"
	dnscache "github.com/envoyproxy/go-control-plane/envoy/extensions/common/dynamic_forward_proxy/v3"
	httpdfp "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/dynamic_forward_proxy/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	snidfp "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/sni_dynamic_forward_proxy/v3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"istio.io/istio/pilot/test/xdstest"
)

// led returns where a gateway leads a call by a cluster: to its endpoints, or, by one of a wildcard, to the name and port
// that the call is for. A listener within the proxy is passed through.
func led(t *testing.T, at *proxy, name string, c call) []string {
	t.Helper()
	of := xdstest.ExtractCluster(name, at.Clusters)
	if within := internal(of); within != "" {
		return ledWithin(t, at, within, c)
	}
	cache := cacheOf(t, of)
	switch {
	case cache == nil:
		assert.Empty(t, relative(at, name), "%s: a Service may have the name in the cluster's search domains", name)
		return addresses(at, name)
	case c.tls:
		return resolvedBySNI(t, at, name, cache, c)
	}
	return resolvedByHost(t, at, of, cache, c)
}

// internal returns the listener within the proxy that is a cluster's one endpoint, empty for none.
func internal(of *cluster.Cluster) string {
	for _, locality := range of.GetLoadAssignment().GetEndpoints() {
		for _, endpoint := range locality.LbEndpoints {
			if address := endpoint.GetEndpoint().GetAddress().GetEnvoyInternalAddress(); address != nil {
				return address.GetServerListenerName()
			}
		}
	}
	return ""
}

func ledWithin(t *testing.T, at *proxy, name string, c call) []string {
	t.Helper()
	within := xdstest.ExtractListener(name, at.Listeners)
	require.NotNil(t, within, "the gateway rejects a cluster that leads to no listener")
	require.NotNil(t, within.GetInternalListener())
	require.True(t, slices.ContainsFunc(within.ListenerFilters, func(filter *listener.ListenerFilter) bool {
		return filter.Name == "envoy.filters.listener.tls_inspector"
	}), "nobody reads the name")
	for _, chain := range within.FilterChains {
		if specific(chain.GetFilterChainMatch().GetServerNames(), c.host) > 0 {
			return led(t, at, xdstest.ExtractTCPProxy(t, chain).GetCluster(), c)
		}
	}
	return nil
}

// cacheOf is the cache of the names that a cluster leads to, nil for one that has endpoints.
func cacheOf(t *testing.T, of *cluster.Cluster) *dnscache.DnsCacheConfig {
	t.Helper()
	if of.GetClusterType().GetName() != "envoy.clusters.dynamic_forward_proxy" {
		return nil
	}
	assert.Equal(t, cluster.Cluster_CLUSTER_PROVIDED, of.LbPolicy)
	var config dfpcluster.ClusterConfig
	require.NoError(t, of.GetClusterType().GetTypedConfig().UnmarshalTo(&config))
	return config.GetDnsCacheConfig()
}

// resolvedBySNI is where a call by TLS is led: every chain that leads to the cluster has the name resolved before.
func resolvedBySNI(t *testing.T, at *proxy, name string, cache *dnscache.DnsCacheConfig, c call) (out []string) {
	t.Helper()
	for _, of := range at.Listeners {
		for _, chain := range of.FilterChains {
			last := len(chain.Filters) - 1
			if chain.Filters[last].Name != "envoy.filters.network.tcp_proxy" || xdstest.ExtractTCPProxy(t, chain).GetCluster() != name {
				continue
			}
			var resolves snidfp.FilterConfig
			require.Equal(t, []string{"envoy.filters.network.sni_dynamic_forward_proxy", "egress-governor.withheld"}, filterNames(chain.Filters[last-2:last]))
			require.NoError(t, chain.Filters[last-2].GetTypedConfig().UnmarshalTo(&resolves))
			assert.True(t, proto.Equal(cache, resolves.DnsCacheConfig), "the cluster's and the filter's cache are one")
			out = append(out, net.JoinHostPort(c.host, fmt.Sprint(resolves.GetPortValue())))
		}
	}
	return out
}

func filterNames(of []*listener.Filter) (out []string) {
	for _, filter := range of {
		out = append(out, filter.Name)
	}
	return out
}

// resolvedByHost is where an HTTP call is led: Envoy takes 80 where its header names no port, and 443 where it encrypts.
func resolvedByHost(t *testing.T, at *proxy, of *cluster.Cluster, cache *dnscache.DnsCacheConfig, c call) []string {
	t.Helper()
	servers := 0
	for _, each := range at.Listeners {
		for _, chain := range each.FilterChains {
			if manager := xdstest.ExtractHTTPConnectionManager(t, chain); manager != nil && each.TrafficDirection == core.TrafficDirection_OUTBOUND {
				resolves(t, manager, cache)
				servers++
			}
		}
	}
	require.NotZero(t, servers)
	host, port, err := net.SplitHostPort(c.authority())
	if err != nil {
		host, port = c.authority(), map[bool]string{false: "80", true: "443"}[of.GetTransportSocket() != nil]
	}
	_, err = strconv.ParseUint(port, 10, 16)
	require.NoError(t, err)
	return []string{net.JoinHostPort(host, port)}
}

func resolves(t *testing.T, manager *hcm.HttpConnectionManager, cache *dnscache.DnsCacheConfig) {
	t.Helper()
	var names []string
	for _, filter := range manager.HttpFilters {
		names = append(names, filter.Name)
		if filter.Name == "envoy.filters.http.dynamic_forward_proxy" {
			var config httpdfp.FilterConfig
			require.NoError(t, filter.GetTypedConfig().UnmarshalTo(&config))
			assert.True(t, proto.Equal(cache, config.GetDnsCacheConfig()), "the cluster's and the filter's cache are one")
		}
	}
	require.Equal(t, []string{"envoy.filters.http.dynamic_forward_proxy", "egress-governor.withheld", "envoy.filters.http.router"}, names[len(names)-3:])
}
