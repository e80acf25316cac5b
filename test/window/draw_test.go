package window

import (
	"fmt"
	"math/rand/v2"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/test/controlplane"
)

// hosts are as many as there are outside.
const hosts = 8

// drawer draws what a tenant writes: mostly what is meant well, sometimes what is not.
type drawer struct {
	*rand.Rand
	namespace string
	// mutual says that the namespace leaves by mutual TLS at first, which carries more.
	mutual bool
}

func (d drawer) oneIn(n int) bool { return d.IntN(n) == 0 }

func pick[T any](d drawer, of ...T) T { return of[d.IntN(len(of))] }

func (d drawer) host() string { return fmt.Sprintf("h%d.example.com", d.IntN(hosts)) }

func (d drawer) object(kind, name string, spec map[string]any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "networking.istio.io/v1", "kind": kind,
		"metadata": map[string]any{"namespace": d.namespace, "name": name}, "spec": spec,
	}}
}

// exportTo is whom the tenant lets see an object, nil for what Istio makes of that.
func (d drawer) exportTo() []any {
	other := map[string]string{"plain-a": "plain-b", "plain-b": "plain-a", "vault-a": "vault-b", "vault-b": "vault-a"}[d.namespace]
	return pick(d, nil, nil, nil, []any{"."}, []any{"."}, []any{".", other}, []any{".", other}, []any{other},
		[]any{".", controlplane.GatewayNamespace, vault}, []any{"*"})
}

func (d drawer) set(spec map[string]any, key string, value []any) {
	if value != nil {
		spec[key] = value
	}
}

// entry draws a ServiceEntry.
func (d drawer) entry(name string) *unstructured.Unstructured {
	host := d.host()
	spec := map[string]any{"hosts": []any{host}, "resolution": "DNS", "ports": d.ports(host)}
	d.set(spec, "exportTo", d.exportTo())
	switch d.IntN(24) {
	case 0:
		spec["resolution"], spec["endpoints"] = "STATIC", []any{map[string]any{"address": "203.0.113.7"}, map[string]any{"address": "203.0.113.8"}}
	case 1:
		spec["endpoints"] = []any{map[string]any{"address": "mirror.example.net"}}
	case 2:
		spec["resolution"] = "NONE"
	case 3:
		spec["resolution"] = "DNS_ROUND_ROBIN"
	case 4:
		spec["hosts"], spec["endpoints"] = []any{"*.wild.example.com"}, []any{map[string]any{"address": "www.example.net"}}
	case 5:
		spec["hosts"] = append(spec["hosts"].([]any), "Other-"+d.host())
	case 6:
		spec["addresses"] = []any{fmt.Sprintf("198.51.100.%d", 1+d.IntN(9))}
	}
	out := d.object("ServiceEntry", name, spec)
	if d.oneIn(6) {
		d.bend(out, spec)
	}
	return out
}

// ports draws those of a host: a number has one protocol almost always, so that the entries of a host go together.
func (d drawer) ports(host string) (out []any) {
	add := func(name, protocol string, number int) {
		out = append(out, map[string]any{"name": name, "protocol": protocol, "number": int64(number)})
	}
	add("http", "HTTP", 80)
	if !d.oneIn(4) {
		add("tls", "TLS", 443)
	}
	if d.oneIn(3) {
		add("alt", pick(d, "HTTP", "HTTP", "HTTP", "HTTP2", "TLS"), 8080)
	}
	if d.oneIn(4) {
		add("grpc", "GRPC", 9000)
	}
	if d.mutual && d.oneIn(3) || d.oneIn(20) {
		add("db", "TCP", dbPort(host))
		add("tls-alt", "TLS", 8443)
	}
	return out[d.IntN(2)%len(out):]
}

// dbPort is the port of a host's database: none has that of another, since sidecars tell raw TCP by the address alone.
func dbPort(host string) int { return 5432 + int(host[1]) }

// bend makes of an entry what would go straight out if it were stored as it is written.
func (d drawer) bend(entry *unstructured.Unstructured, spec map[string]any) {
	switch d.IntN(6) {
	case 0:
		spec["location"] = "MESH_INTERNAL"
	case 1:
		spec["location"], spec["resolution"], spec["endpoints"] = "MESH_INTERNAL", "DNS", []any{map[string]any{"address": "evil.example.net"}}
	case 2:
		spec["endpoints"] = []any{map[string]any{"address": gatewayHost}, map[string]any{"address": "203.0.113.66"}}
		spec["resolution"] = "DNS"
	case 3:
		spec["location"], spec["resolution"], spec["endpoints"] = "MESH_INTERNAL", "DNS", []any{map[string]any{
			"address": vaultHost, "labels": map[string]any{"security.istio.io/tlsMode": "istio"}, "ports": map[string]any{"http": int64(80)},
		}, map[string]any{"address": "203.0.113.66"}}
	case 4:
		entry.SetAnnotations(map[string]string{"egress-governor.io/intent": `[{"paths":["spec.endpoints"],"now":[{"address":"203.0.113.66"}]}]`})
		spec["endpoints"] = []any{map[string]any{"address": "203.0.113.66"}}
		spec["resolution"] = "STATIC"
	case 5:
		spec["resolution"], spec["hosts"] = "DYNAMIC_DNS", []any{"*.example.com"}
	}
}

// patch draws a merge patch of a stored entry, and says whether the hosts, the ports and who sees them stay.
func (d drawer) patch() (patch string, stays bool) {
	switch d.IntN(12) {
	case 0:
		return `{"spec":{"endpoints":[{"address":"203.0.113.66"}]}}`, true
	case 1:
		return `{"spec":{"resolution":"NONE","endpoints":null}}`, true
	case 2:
		return `{"metadata":{"annotations":null}}`, true
	case 3:
		return `{"spec":{"location":"MESH_INTERNAL"}}`, true
	case 4:
		return `{"spec":{"location":"MESH_EXTERNAL","subjectAltNames":null}}`, true
	case 5:
		return fmt.Sprintf(`{"spec":{"endpoints":[{"address":%q},{"address":"203.0.113.66"}]}}`, pick(d, gatewayHost, vaultHost)), true
	case 6:
		return `{"spec":{"resolution":"STATIC","endpoints":[{"address":"203.0.113.9"}]}}`, true
	case 7:
		return fmt.Sprintf(`{"spec":{"addresses":["198.51.100.%d"]}}`, 1+d.IntN(9)), true
	case 8:
		return fmt.Sprintf(`{"spec":{"hosts":[%q]}}`, d.host()), false
	case 9:
		return `{"spec":{"exportTo":["*"]}}`, false
	case 10:
		return `{"spec":{"exportTo":["."]}}`, false
	}
	return fmt.Sprintf(`{"metadata":{"labels":{"version":"%d"}}}`, d.IntN(1000)), true
}

// rule draws a DestinationRule.
func (d drawer) rule(name string) *unstructured.Unstructured {
	tls := map[string]any{"mode": pick(d, "SIMPLE", "SIMPLE", "DISABLE", "ISTIO_MUTUAL")}
	policy := map[string]any{}
	switch d.IntN(4) {
	case 0:
		policy["tls"] = tls
	case 1:
		policy["portLevelSettings"] = []any{map[string]any{"port": map[string]any{"number": pick(d, int64(80), 8080, 443)}, "tls": tls}}
	case 2:
		policy["outlierDetection"] = map[string]any{"consecutive5xxErrors": int64(3)}
	case 3:
		policy["connectionPool"] = map[string]any{"tcp": map[string]any{"maxConnections": int64(1 + d.IntN(9))}}
	}
	spec := map[string]any{"host": d.host(), "trafficPolicy": policy}
	if d.oneIn(5) {
		spec["host"] = "*.example.com"
	}
	if d.oneIn(4) {
		spec["subsets"] = []any{map[string]any{"name": "v1", "labels": map[string]any{"version": "v1"}}}
	}
	d.set(spec, "exportTo", d.exportTo())
	return d.object("DestinationRule", name, spec)
}

// routes draws a VirtualService for the calls of the mesh.
func (d drawer) routes(name string) *unstructured.Unstructured {
	hosts := []string{pick(d, d.host(), d.host(), d.host(), d.host(), "a.wild.example.com", "*.example.com")}
	if d.oneIn(5) {
		hosts = append(hosts, d.host())
	}
	spec := map[string]any{"hosts": texts(hosts)}
	d.set(spec, "exportTo", d.exportTo())
	if !d.oneIn(3) {
		spec["http"] = d.httpRoutes(hosts[0])
	}
	if spec["http"] == nil || d.oneIn(5) {
		spec["tls"] = d.tlsRoutes(hosts)
	}
	if d.mutual && d.oneIn(5) {
		host := d.host()
		spec["hosts"], spec["tcp"] = []any{host}, []any{map[string]any{"route": []any{map[string]any{"destination": d.destination(pick(d, host, host, d.host()), int64(dbPort(host)))}}}}
	}
	return d.object("VirtualService", name, spec)
}

func texts(of []string) (out []any) {
	for _, text := range of {
		out = append(out, text)
	}
	return out
}

// tlsRoutes draws those of hosts: of all, or of some.
func (d drawer) tlsRoutes(hosts []string) (out []any) {
	if d.oneIn(3) {
		hosts = hosts[d.IntN(len(hosts)):]
	}
	for _, host := range hosts {
		match := map[string]any{"sniHosts": []any{pick(d, host, host, host, host, d.host())}}
		if !d.oneIn(3) {
			match["port"] = pick(d, int64(443), 443, 8443)
		}
		if d.oneIn(8) {
			match["destinationSubnets"] = []any{"198.51.100.0/24"}
		}
		if d.oneIn(8) {
			match["sourceLabels"] = map[string]any{"app": "other"}
		}
		to := pick(d, host, host, host, "*.wild.example.com", collector)
		out = append(out, map[string]any{"match": []any{match}, "route": []any{map[string]any{"destination": d.destination(to, 443)}}})
	}
	return out
}

func (d drawer) httpRoutes(host string) []any {
	last := map[string]any{"route": d.weighted(host)}
	if d.oneIn(4) {
		last["mirror"] = d.destination(pick(d, host, d.host(), collector), 80)
	}
	if d.oneIn(4) {
		last["timeout"] = "5s"
	}
	if d.oneIn(6) {
		last["rewrite"] = pick(d, map[string]any{"uri": "/v2"}, map[string]any{"authority": d.host()})
	}
	first := map[string]any{"headers": map[string]any{"x-canary": map[string]any{"exact": "yes"}}}
	if d.oneIn(3) {
		first["port"] = pick(d, int64(80), 8080)
	}
	return []any{map[string]any{"match": []any{first}, "route": d.weighted(host)}, last}[d.IntN(2)*d.IntN(2):]
}

func (d drawer) weighted(host string) []any {
	first := map[string]any{"destination": d.destination(pick(d, host, host, d.host()), 80)}
	if d.oneIn(2) {
		return []any{first}
	}
	first["weight"] = int64(60)
	return []any{first, map[string]any{"weight": int64(40), "destination": d.destination(pick(d, d.host(), collector, host), 80)}}
}

func (d drawer) destination(host string, port int64) map[string]any {
	out := map[string]any{"host": host}
	if d.oneIn(2) {
		out["port"] = map[string]any{"number": port}
	}
	if d.oneIn(15) {
		out["subset"] = "v1"
	}
	return out
}
