package trace

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// proxy is a sidecar, or with a gateway's labels one of its pods.
type proxy struct {
	*Cluster
	namespace string
	labels    map[string]string
	// scope is the Sidecar by which it imports what it knows, nil for all that it may see.
	scope *unstructured.Unstructured
	// port is that of the call: a Sidecar may import for one alone.
	port uint32
	// closed says that it drops calls to hosts that nobody registered.
	closed bool
	// doors are the Gateway objects that it opens a port of, nil for a sidecar.
	doors []*door
}

// sidecar returns that of a caller.
func (c *Cluster) sidecar(call Call) *proxy {
	out := &proxy{Cluster: c, namespace: call.Namespace, labels: call.Labels, port: call.Port, closed: c.closed}
	var wide, root *unstructured.Unstructured
	for _, sidecar := range c.sidecars {
		selector := labelsOf(sidecar.Object, "spec", "workloadSelector", "labels")
		of, isWide := sidecar.GetNamespace(), hop.SidecarIsWide(sidecar)
		switch {
		case of == call.Namespace && !isWide && out.scope == nil && egress.Selects(selector, call.Labels):
			out.scope = sidecar
		case of == call.Namespace && isWide && wide == nil:
			wide = sidecar
		case of == c.mesh.IstioNamespace && isWide && root == nil:
			root = sidecar
		}
	}
	for _, next := range []*unstructured.Unstructured{wide, root} {
		if out.scope == nil {
			out.scope = next
		}
	}
	if out.scope != nil {
		if mode := hop.SidecarMode(out.scope); mode != "" {
			out.closed = mode == "REGISTRY_ONLY"
		}
	}
	return out
}

// imports says whether the Sidecar lets the proxy know something of a namespace with one of some hosts, which Istio compares as
// the Sidecar spells them.
func (p *proxy) imports(namespace string, hosts []string) bool {
	if p.scope == nil {
		return true
	}
	listeners := listOf(p.scope.Object, "spec", "egress")
	if len(listeners) == 0 {
		return true
	}
	ofPort := func(listener fields) bool { return numberOf(listener, "port", "number") == p.port }
	own := slices.ContainsFunc(listeners, ofPort)
	return slices.ContainsFunc(listeners, func(listener fields) bool {
		if number := numberOf(listener, "port", "number"); own != ofPort(listener) || !own && number != 0 {
			return false
		}
		taken := false
		for _, pattern := range textsOf(listener, "hosts") {
			left, out := strings.CutPrefix(pattern, "~")
			of, name, _ := strings.Cut(left, "/")
			if of != "*" && of != namespace && (of != "." || namespace != p.namespace) {
				continue
			}
			if slices.ContainsFunc(hosts, func(host string) bool { return egress.Covers(name, host) || !out && egress.Covers(host, name) }) {
				if out {
					return false
				}
				taken = true
			}
		}
		return taken
	})
}

// sees says whether an exportTo of an object of a namespace reaches the proxy, and how closely it names it.
func (p *proxy) sees(exportTo []string, namespace string) int {
	names, all := egress.Clients(exportTo, namespace)
	switch {
	case all:
		return 1
	case !slices.Contains(names, p.namespace):
		return 0
	case namespace == p.namespace:
		return 3
	}
	return 2
}

// known returns what the proxy takes for a host: of several the one that Istio chooses, and those that Istio joins with it. What
// its routes lead to (led) it knows even where its Sidecar imports no such host.
func (p *proxy) known(host string, led bool) []*service {
	out := p.chosen(host, false)
	if out == nil && led {
		out = p.chosen(host, true)
	}
	return out
}

func (p *proxy) chosen(host string, led bool) (out []*service) {
	var entries []*egress.Entry
	of := map[*egress.Entry]*service{}
	for _, one := range p.services[host] {
		if p.sees(one.ExportTo, one.Namespace) == 0 || !led && !p.imports(one.Namespace, []string{host}) {
			continue
		}
		if one.kind == "Service" {
			return []*service{one}
		}
		entries = append(entries, one.Entry)
		of[one.Entry] = one
	}
	serving := egress.Serving(entries, p.namespace)
	if serving == nil {
		return nil
	}
	out = append(out, of[serving])
	for _, entry := range entries {
		if entry == serving || entry.Namespace != serving.Namespace {
			continue
		}
		first, second := serving, entry
		if entry.Older(serving) < 0 {
			first, second = entry, serving
		}
		if egress.Hidden(first, second) == 0 {
			out = append(out, of[entry])
		}
	}
	return out
}

// serving returns what has a port of a host.
func (p *proxy) serving(host string, port uint32, led bool) (*service, egress.Port) {
	for _, one := range p.known(host, led) {
		if found, has := one.port(port); has {
			return one, found
		}
	}
	return nil, egress.Port{}
}

// names returns the host that a caller means by a name of a Service, which pods may shorten, and by an address at which an entry has the
// port that is called.
func (p *proxy) names(host string) string {
	if len(p.services[host]) > 0 {
		return host
	}
	if ip, single := egress.SingleIP(host); single {
		return cmp.Or(p.hostAt(ip), host)
	}
	for _, suffix := range []string{"." + p.namespace + ".svc." + p.mesh.ClusterDomain, ".svc." + p.mesh.ClusterDomain, "." + p.mesh.ClusterDomain} {
		if full := host + suffix; len(p.services[full]) > 0 && p.services[full][0].kind == "Service" {
			return full
		}
	}
	return host
}

// hostAt returns the host whose entry has an address, and the port that is called: of several the oldest's, empty for none.
func (p *proxy) hostAt(ip netip.Addr) (out string) {
	var first *service
	for name := range p.services {
		of, _ := p.serving(name, p.port, false)
		if of == nil || of.kind != "ServiceEntry" || !slices.ContainsFunc(of.Addresses, func(written string) bool { return within(written, ip) }) {
			continue
		}
		if first == nil || of.Older(first.Entry) < 0 || of == first && name < out {
			first, out = of, name
		}
	}
	return out
}

// within says whether an address that is written, or a range, has an address.
func within(written string, ip netip.Addr) bool {
	of, err := egress.RangeOf(written)
	return err == nil && of.Contains(ip)
}

// rule returns the DestinationRules that proxies go by for a host, of the client's namespace, else of the host's, else of the root
// namespace: those of the most specific host.
func (p *proxy) rule(host string, of *service) (out []*unstructured.Unstructured) {
	namespaces := []string{p.namespace}
	if of != nil {
		namespaces = append(namespaces, of.Namespace)
	}
	for _, namespace := range append(namespaces, p.mesh.IstioNamespace) {
		for _, pattern := range egress.Patterns(host) {
			for _, rule := range p.rules {
				named := p.mesh.Qualify(textOf(rule.Object, "spec", "host"), rule.GetNamespace())
				if rule.GetNamespace() != namespace || named != pattern || p.sees(egress.ExportTo(rule), namespace) == 0 {
					continue
				}
				if egress.Selects(labelsOf(rule.Object, "spec", "workloadSelector", "matchLabels"), p.labels) {
					out = append(out, rule)
				}
			}
			if len(out) > 0 {
				return out
			}
		}
	}
	return nil
}

// cluster is a destination as proxies have it.
type cluster struct {
	host   string
	port   uint32
	subset string
}
