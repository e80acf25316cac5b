package hop

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// An entry and the rule beside it are two writes, and where the rule encrypts, what calls look like hangs on both: istiod may tell proxies of
// one without the other. A crossing has the proxies of a namespace call hosts at their egress gateway as they will once both are written,
// whatever either says: it takes away the clusters of the hosts' ports and puts its own in their place, which each proxy takes over at once.

// CrossingLabel is that of crossings: the namespace whose entries cross.
const CrossingLabel = "egress-governor.io/crossing"

// Crossed is a port of a host whose calls go by a gateway while entry and rule are written.
type Crossed struct {
	// Gateway is the one that the entry is sealed to, by the transport in which it is.
	Gateway egress.Gateway
	Host    string
	Port    egress.Port
	// Led says that it is a TLS port to which routes lead HTTP, which is the protocol of Port: the calls ask for the port, as they will by their routes.
	Led bool
	// Subsets are those that the rule names: routes may lead to each.
	Subsets []string
}

// Crosses says whether calls of a host's port that go by a gateway hang on its entry and on a rule both: the rule encrypts what apps do not,
// or it is a wildcard's, before which a client rule stands as long as the entry is sealed by mutual TLS.
func Crosses(rule *egress.Rule, host string, port egress.Port, gw egress.Gateway) bool {
	family := egress.FamilyOf(port.Protocol)
	if !rule.HasPolicy() || gw.Port(family) == 0 {
		return false
	}
	encrypts, covers := rule.TLS(port.Number) != nil, gw.Transport == egress.MutualTLS && rule.Host != host
	switch family {
	case egress.FamilyHTTP:
		return encrypts
	case egress.FamilyTLS:
		// Encrypted twice, what an app encrypts itself is for the host inside alone.
		return covers && !encrypts
	}
	return encrypts || covers
}

// CrossesAs returns the protocol of the HTTP calls that routes lead to a TLS port of a host of these ports, where a rule encrypts them, which hang on
// the entry and on the route both: once both are written they go by an HTTP port of the host, and ask for this one. By Plain they get through between
// the two, encrypted.
func CrossesAs(rule *egress.Rule, host string, port egress.Port, ports []egress.Port, gw egress.Gateway) (protocol string, is bool) {
	if gw.Transport != egress.MutualTLS || gw.HTTPPort == 0 || egress.IsWildcard(host) || egress.FamilyOf(port.Protocol) != egress.FamilyTLS || rule.TLS(port.Number) == nil {
		return "", false
	}
	i := slices.IndexFunc(ports, func(port egress.Port) bool { return egress.FamilyOf(port.Protocol) == egress.FamilyHTTP })
	if i < 0 {
		return "", false
	}
	return ports[i].Protocol, true
}

// SubsetsIn returns the names of a rule's subsets, as they are written.
func SubsetsIn(rule *egress.Rule) (out []string) {
	for _, item := range rule.Subsets {
		subset, _ := item.(map[string]any)
		if name, _ := subset["name"].(string); name != "" {
			out = append(out, name)
		}
	}
	return out
}

// CrossingName is the name that a crossing of a namespace's entries has in each namespace.
func CrossingName(of string) string { return "egress-governor-crossing-" + of }

// Crossing returns the EnvoyFilter by which proxies of a namespace call ports of another's entries at their gateways.
func Crossing(mesh *egress.Mesh, namespace, of string, ports []Crossed) *unstructured.Unstructured {
	var out []any
	for _, port := range ports {
		for _, subset := range append([]string{""}, port.Subsets...) {
			out = append(out, instead(mesh, of, port, subset)...)
		}
	}
	object := &unstructured.Unstructured{Object: map[string]any{"spec": fields{"configPatches": out}}}
	object.SetGroupVersionKind(EnvoyFilter)
	object.SetNamespace(namespace)
	object.SetName(CrossingName(of))
	object.SetLabels(map[string]string{ManagedByLabel: "egressctl", CrossingLabel: of})
	return object
}

// instead are the patches that put a cluster that leads to the gateway in the place of Istio's.
func instead(mesh *egress.Mesh, of string, port Crossed, subset string) []any {
	name := fmt.Sprintf("outbound|%d|%s|%s", port.Port.Number, subset, port.Host)
	return []any{
		fields{"applyTo": "CLUSTER", "match": fields{"context": "SIDECAR_OUTBOUND", "cluster": fields{"name": name}}, "patch": fields{"operation": "REMOVE"}},
		patch("CLUSTER", fields{"context": "SIDECAR_OUTBOUND"}, "ADD", crossed(mesh, of, port, name)),
	}
}

// CrossedBy returns the ports that an EnvoyFilter has called at gateways of the mesh; false for one that does anything else, whatever its marks.
func CrossedBy(filter *unstructured.Unstructured, mesh *egress.Mesh) (out []Crossed, is bool) {
	of := filter.GetLabels()[CrossingLabel]
	spec, _ := filter.Object["spec"].(map[string]any)
	patches, _ := spec["configPatches"].([]any)
	if of == "" || filter.GetName() != CrossingName(of) || len(spec) != 1 || len(patches) == 0 || len(patches)%2 != 0 {
		return nil, false
	}
	for pair := range slices.Chunk(patches, 2) {
		port, known := crossedHere(pair, of, mesh)
		if !known {
			return nil, false
		}
		out = append(out, port)
	}
	return out, true
}

// crossedHere returns the port whose cluster two patches replace.
func crossedHere(pair []any, of string, mesh *egress.Mesh) (Crossed, bool) {
	first, _ := pair[0].(map[string]any)
	name, _, _ := unstructured.NestedString(first, "match", "cluster", "name")
	parts := strings.Split(name, "|")
	if len(parts) != 4 {
		return Crossed{}, false
	}
	number, err := strconv.ParseUint(parts[1], 10, 16)
	if err != nil {
		return Crossed{}, false
	}
	for _, gw := range mesh.Gateways {
		for _, transport := range egress.Transports() {
			for _, protocol := range []string{"HTTP", "GRPC", "TCP"} {
				for _, led := range []bool{false, transport == egress.MutualTLS && protocol != "TCP"} {
					port := Crossed{Gateway: gw.By(transport), Host: parts[3], Port: egress.Port{Number: uint32(number), Protocol: protocol}, Led: led}
					if port.Gateway.Port(egress.FamilyOf(protocol)) != 0 && equality.Semantic.DeepEqual(pair, instead(mesh, of, port, parts[2])) {
						return port, true
					}
				}
			}
		}
	}
	return Crossed{}, false
}

// oneEndpoint is what a cluster has that leads to an address alone.
func oneEndpoint(cluster string, address fields) fields {
	return fields{"cluster_name": cluster, "endpoints": []any{fields{"lb_endpoints": []any{fields{"endpoint": fields{"address": address}}}}}}
}

// unlimited is what Istio has for limits that nobody set.
const unlimited = int64(4294967295)

// crossed is the cluster that leads to the gateway, for an entry of a namespace.
func crossed(mesh *egress.Mesh, namespace string, of Crossed, name string) fields {
	family := egress.FamilyOf(of.Port.Protocol)
	http2 := family == egress.FamilyHTTP && !egress.IsHTTP1(of.Port.Protocol)
	out := fields{
		"name": name, "type": "STRICT_DNS", "connect_timeout": "10s", "dns_lookup_family": "V4_PREFERRED", "lb_policy": "LEAST_REQUEST",
		// By which Istio's metrics name the host.
		"metadata": fields{"filter_metadata": fields{"istio": fields{"services": []any{fields{"host": of.Host, "name": of.Host, "namespace": namespace}}}}},
		"circuit_breakers": fields{"thresholds": []any{fields{
			"max_connections": unlimited, "max_pending_requests": unlimited, "max_requests": unlimited, "max_retries": unlimited,
		}}},
		"load_assignment": oneEndpoint(name, fields{"socket_address": fields{"address": of.Gateway.Service, "port_value": int64(of.Gateway.Port(family))}}),
	}
	if http2 || of.Led {
		out["typed_extension_protocol_options"] = spoken(of, http2)
	}
	if of.Gateway.Transport == egress.MutualTLS {
		sni := proxySNI(of.Host, of.Port.Number, "")
		if family != egress.FamilyHTTP {
			sni = portSNI(of.Host, of.Port.Number)
		}
		out["transport_socket"] = meshTLS(mesh.IdentityOf(of.Gateway), sni, http2)
	}
	return out
}

// spoken is how a cluster speaks HTTP.
func spoken(of Crossed, http2 bool) fields {
	const options = "upstreams.http.v3.HttpProtocolOptions"
	version := map[bool]string{false: "http_protocol_options", true: "http2_protocol_options"}[http2]
	out := fields{"@type": messages + options, "explicit_http_config": fields{version: fields{}}}
	if of.Led {
		// No other filter of Envoy's that stands in a cluster may rewrite what a call asks for.
		const asks = "function envoy_on_request(handle) handle:headers():replace(%q, %q) end"
		out["http_filters"] = []any{
			extension("envoy.filters.http.lua", "filters.http.lua.v3.Lua", fields{
				"default_source_code": fields{"inline_string": fmt.Sprintf(asks, ":authority", fmt.Sprintf("%s:%d", of.Host, of.Port.Number))},
			}),
			extension("envoy.filters.http.upstream_codec", "filters.http.upstream_codec.v3.UpstreamCodec", nil),
		}
	}
	return fields{"envoy.extensions." + options: out}
}

// meshTLS is how proxies speak the mesh's mutual TLS to a gateway of an identity, as Istio has them do: by the certificates of its agent.
func meshTLS(identity, sni string, http2 bool) fields {
	secret := func(name string) fields {
		return fields{"name": name, "sds_config": fields{
			"initial_fetch_timeout": "0s", "resource_api_version": "V3",
			"api_config_source": fields{
				"api_type": "GRPC", "transport_api_version": "V3", "set_node_on_first_message_only": true,
				"grpc_services": []any{fields{"envoy_grpc": fields{"cluster_name": "sds-grpc"}}},
			},
		}}
	}
	protocols := []any{"istio"}
	if http2 {
		protocols = append(protocols, "h2")
	}
	return extension("envoy.transport_sockets.tls", "transport_sockets.tls.v3.UpstreamTlsContext", fields{
		"sni": sni,
		"common_tls_context": fields{
			"alpn_protocols":                     protocols,
			"tls_params":                         fields{"tls_minimum_protocol_version": "TLSv1_2", "tls_maximum_protocol_version": "TLSv1_3"},
			"tls_certificate_sds_secret_configs": []any{secret("default")},
			"combined_validation_context": fields{
				"default_validation_context":           fields{"match_typed_subject_alt_names": []any{fields{"san_type": "URI", "matcher": fields{"exact": identity}}}},
				"validation_context_sds_secret_config": secret("ROOTCA"),
			},
		},
	})
}
