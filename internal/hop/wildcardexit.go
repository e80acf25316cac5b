package hop

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// What makes an egress gateway resolve the names below wildcards are Envoy's dynamic forward proxies, which Istio has no
// word for: filters that resolve the name which the Host header or the SNI asks for, and clusters that lead to what it
// resolved to. All of a gateway have one cache.

// EnvoyFilter is the kind by which Istio is told how to patch Envoy's configuration.
var EnvoyFilter = schema.GroupVersionKind{Group: "networking.istio.io", Version: "v1alpha3", Kind: "EnvoyFilter"}

const (
	// unresolved is the endpoint of a wildcard's exit. It leads nowhere, and nor does the exit before its clusters are
	// patched.
	unresolved = "unused.invalid."
	// maxNames is how many names a gateway knows at a time.
	maxNames = int64(10_000)
	tcpProxy = "envoy.filters.network.tcp_proxy"
)

// fields are those of a message of Envoy's configuration, or of an EnvoyFilter.
type fields = map[string]any

// ResolverName returns the name of the ResolverObject of an egress gateway.
func ResolverName(gw egress.Gateway) string { return "egress-governor-" + gw.Name + "-wildcards" }

// ResolverObject returns what the HTTP calls to all wildcards of an egress gateway have in common, nil where it resolves
// none: the name in the Host header is resolved. Calls that are led to no cluster of a wildcard's pass it by.
func ResolverObject(mesh *egress.Mesh, gw egress.Gateway) Object {
	if !gw.Wildcards {
		return nil
	}
	router := fields{"context": "GATEWAY", "listener": fields{"filterChain": fields{"filter": fields{
		"name": "envoy.filters.network.http_connection_manager", "subFilter": fields{"name": "envoy.filters.http.router"},
	}}}}
	return patches(gw, ResolverName(gw), "",
		patch("HTTP_FILTER", router, "INSERT_BEFORE", extension("envoy.filters.http.dynamic_forward_proxy", "filters.http.dynamic_forward_proxy.v3.FilterConfig",
			fields{"dns_cache_config": nameCache(mesh), "save_upstream_address": true})),
		patch("HTTP_FILTER", router, "INSERT_BEFORE", extension("egress-governor.withheld", "filters.http.rbac.v3.RBAC", fields{"rules": denial(mesh)})),
	)
}

// resolver returns what makes a gateway resolve the names below one wildcard: the clusters of its exit, and the filters of what
// comes by TLS.
func resolver(mesh *egress.Mesh, gw egress.Gateway, exit served) Object {
	out := []any{patch("CLUSTER", fields{"context": "GATEWAY", "cluster": fields{"service": exit.host}}, "MERGE", fields{
		"lb_policy": "CLUSTER_PROVIDED",
		// Whether a certificate is verified is said by the exit's rule, as of every other host.
		"cluster_type": extension("envoy.clusters.dynamic_forward_proxy", "clusters.dynamic_forward_proxy.v3.ClusterConfig",
			fields{"dns_cache_config": nameCache(mesh), "allow_insecure_cluster_options": true}),
	})}
	for _, port := range egress.PortsOf(exit.definition.Ports, egress.FamilyTLS) {
		out = append(out, transportOf(gw).resolve(exit.host, port, []any{
			extension("envoy.filters.network.sni_dynamic_forward_proxy", "filters.network.sni_dynamic_forward_proxy.v3.FilterConfig",
				fields{"dns_cache_config": nameCache(mesh), "save_upstream_address": true, "port_value": int64(port)}),
			extension("egress-governor.withheld", "filters.network.rbac.v3.RBAC", fields{"stat_prefix": "egress_governor.", "rules": denial(mesh)}),
		})...)
	}
	return patches(gw, routesName(gw, exit.host), exit.host, out...)
}

// resolve has the name resolved where the gateway tells hosts apart by it.
func (plain) resolve(host string, _ uint32, filters []any) (out []any) {
	for _, filter := range filters {
		out = append(out, patch("NETWORK_FILTER", atTCPProxy(host), "INSERT_BEFORE", filter))
	}
	return out
}

// resolve leads what comes out of the mesh's own TLS to a listener within the proxy, which reads the name in the app's TLS.
// Each port of a wildcard has one of its own: who is let in to one is not to pass by another's.
func (mutualTLS) resolve(host string, port uint32, filters []any) []any {
	name, gateway := portSNI(host, port), fields{"context": "GATEWAY"}
	onward := func(cluster string) any {
		return extension(tcpProxy, "filters.network.tcp_proxy.v3.TcpProxy", fields{"stat_prefix": cluster, "cluster": cluster})
	}
	return []any{
		patch("NETWORK_FILTER", atTCPProxy(name), "MERGE", onward(name)),
		patch("CLUSTER", gateway, "ADD", fields{
			"name": name, "type": "STATIC", "connect_timeout": "1s",
			"load_assignment": oneEndpoint(name, fields{"envoy_internal_address": fields{"server_listener_name": name}}),
		}),
		patch("LISTENER", gateway, "ADD", fields{
			"name": name, "internal_listener": fields{},
			"listener_filters": []any{extension("envoy.filters.listener.tls_inspector", "filters.listener.tls_inspector.v3.TlsInspector", fields{})},
			"filter_chains": []any{fields{
				"filter_chain_match": fields{"server_names": []any{host}}, "filters": append(filters, onward(fmt.Sprintf("outbound|%d||%s", port, host))),
			}},
		}),
	}
}

// nameCache is the cache in which a gateway keeps what names resolved to. What may not be called is taken out of each
// answer. Envoy takes no two of one name that differ, so the name goes by the rest.
func nameCache(mesh *egress.Mesh) fields {
	out := fields{
		"dns_lookup_family": "V4_PREFERRED", "max_hosts": maxNames,
		"resolved_address_filter": fields{"ranges": ranges(mesh)},
		// Left out it is a minute, in which a name is nobody's for one answer that did not come.
		"dns_failure_refresh_rate": fields{"base_interval": "1s", "max_interval": "10s"},
		// The search domains of the gateway's pods are the cluster's own.
		"typed_dns_resolver_config": fields{"name": "envoy.network.dns_resolver.cares", "typed_config": fields{
			"@type": messages + "network.dns_resolver.cares.v3.CaresDnsResolverConfig", "dns_resolver_options": fields{"no_default_search_domain": true},
			"filter_unroutable_families": true,
		}},
	}
	raw, _ := json.Marshal(out) // maps of strings and numbers always encode
	sum := sha256.Sum256(raw)
	out["name"] = "egress-governor-" + hex.EncodeToString(sum[:4])
	return out
}

func ranges(mesh *egress.Mesh) (out []any) {
	for _, prefix := range mesh.Withheld() {
		out = append(out, fields{"address_prefix": prefix.Addr().String(), "prefix_len": int64(prefix.Bits())})
	}
	return out
}

// denial turns calls away whose name resolved to what may not be called. It is all that an Istio goes by which does not know
// the filter of the cache yet.
func denial(mesh *egress.Mesh) fields {
	var permissions []any
	for _, of := range ranges(mesh) {
		permissions = append(permissions, fields{"matcher": extension("envoy.rbac.matchers.upstream_ip_port",
			"rbac.matchers.upstream_ip_port.v3.UpstreamIpPortMatcher", fields{"upstream_ip": of})})
	}
	return fields{"action": "DENY", "policies": fields{"withheld": fields{"permissions": permissions, "principals": []any{fields{"any": true}}}}}
}

// messages is where Envoy's extensions have their messages.
const messages = "type.googleapis.com/envoy.extensions."

func extension(name, message string, of fields) fields {
	config := fields{"@type": messages + message}
	maps.Copy(config, of)
	return fields{"name": name, "typed_config": config}
}

func atTCPProxy(sni string) fields {
	return fields{"context": "GATEWAY", "listener": fields{"filterChain": fields{"sni": sni, "filter": fields{"name": tcpProxy}}}}
}

func patch(to string, match fields, operation string, value any) any {
	return fields{"applyTo": to, "match": match, "patch": fields{"operation": operation, "value": value}}
}

// patches is an EnvoyFilter for the pods of an egress gateway.
func patches(gw egress.Gateway, name, host string, of ...any) Object {
	labels := fields{}
	for key, value := range gw.Selector {
		labels[key] = value
	}
	out := untyped(EnvoyFilter.Kind, meta(gw.Namespace(), name, host), fields{
		"workloadSelector": fields{"labels": labels}, "configPatches": of,
		// After those of others: what is inserted beside a filter needs it to be there.
		"priority": int64(10),
	})
	out.SetGroupVersionKind(EnvoyFilter)
	out.SetLabels(map[string]string{ManagedByLabel: Manager, GatewayLabel: gw.Name})
	return out
}
