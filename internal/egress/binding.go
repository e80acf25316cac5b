package egress

import (
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Binding is a Gateway object of anybody's: what it opens, on which proxies, for VirtualServices to bind to.
type Binding struct {
	Namespace, Name string
	// Selector holds the labels of the proxies' pods, of whichever namespace; empty for all. Those that istiod adds are left out.
	Selector map[string]string
	Servers  []Server
	// Kept says that it is one that we keep.
	Kept bool
	// Away says that its proxies are known to be in a namespace of no egress gateway, whatever the selector says.
	Away bool
}

// Server is a port that a Gateway object opens.
type Server struct {
	Port uint32
	// Protocol is upper case, Mode that of tls, empty without tls.
	Protocol, Mode string
	// Hosts are as written: those of which namespaces, and for which names.
	Hosts []string
	Path  *field.Path
}

// ReadBinding reads a Gateway object; what is not as Istio's API has it is left out.
func ReadBinding(object *unstructured.Unstructured) *Binding {
	spec, _ := object.Object["spec"].(map[string]any)
	out := &Binding{Namespace: object.GetNamespace(), Name: object.GetName()}
	out.Selector, _, _ = unstructured.NestedStringMap(spec, "selector")
	maps.DeleteFunc(out.Selector, func(key, _ string) bool { return addedByIstiod(key) })
	servers, _ := spec["servers"].([]any)
	for i, item := range servers {
		raw, _ := item.(map[string]any)
		port, _ := raw["port"].(map[string]any)
		protocol, _ := port["protocol"].(string)
		server := Server{Port: Number(port["number"]), Protocol: strings.ToUpper(protocol), Path: field.NewPath("spec", "servers").Index(i)}
		server.Hosts = Texts(raw["hosts"])
		if tls, given := raw["tls"].(map[string]any); given {
			server.Mode, _ = tls["mode"].(string)
			if server.Mode == "" {
				server.Mode = "PASSTHROUGH"
			}
		}
		out.Servers = append(out.Servers, server)
	}
	return out
}

// addedByIstiod says whether istiod gives a label to proxies beside those of their pods, or in the place of theirs: by node, cluster and
// network. A selector is held against these too, and since nobody here knows what they are, any value may be theirs.
func addedByIstiod(label string) bool {
	return label == "kubernetes.io/hostname" || label == "istio-locality" ||
		strings.HasPrefix(label, "topology.istio.io/") || strings.HasPrefix(label, "topology.kubernetes.io/")
}

// selects says whether a selector takes pods with these labels.
func (b *Binding) selects(pod map[string]string) bool {
	return Selects(b.Selector, pod)
}

// Hosts returns the canonical hosts that servers of it name.
func (b *Binding) Hosts() (out []string) {
	for _, server := range b.Servers {
		for _, of := range server.Hosts {
			out = append(out, Canonical(of[strings.IndexByte(of, '/')+1:]))
		}
	}
	return out
}

// Selects says whether labels have all of a selector's.
func Selects(selector, of map[string]string) bool {
	for key, value := range selector {
		if have, given := of[key]; !given || have != value {
			return false
		}
	}
	return true
}

// Opened returns the egress gateways on whose pods a Gateway object opens its servers.
func (m *Mesh) Opened(b *Binding, view View) (out []Gateway) {
	for _, gw := range m.Gateways {
		if b.OpensOn(gw, view.Pods(gw.Namespace())) {
			out = append(out, gw)
		}
	}
	return out
}

// OpensOn says whether a Gateway object opens its servers on pods of an egress gateway, by the labels of those of its namespace.
func (b *Binding) OpensOn(gw Gateway, pods []map[string]string) bool {
	return b.selects(gw.Selector) || slices.ContainsFunc(pods, func(pod map[string]string) bool { return Selects(gw.Selector, pod) && b.selects(pod) })
}

// beside says whether a Gateway object is for proxies that are no egress gateway's and share the namespace of one: they
// see its exits.
func (m *Mesh) beside(b *Binding, view View) bool {
	for _, gw := range m.Gateways {
		for _, pod := range view.Pods(gw.Namespace()) {
			ofEgress := slices.ContainsFunc(m.GatewaysIn(gw.Namespace()), func(g Gateway) bool {
				return Selects(g.Selector, pod)
			})
			if !ofEgress && b.selects(pod) {
				return true
			}
		}
	}
	return false
}

// Bound says on what proxies other than sidecars a route is applied.
type Bound struct {
	// Egress: on those of an egress gateway, Beside: on others in the namespace of one, Elsewhere: on any other.
	Egress, Beside, Elsewhere bool
	// Away says that those elsewhere are known to share a namespace with no egress gateway.
	Away bool
	// Unknown names a Gateway object that is not there yet, and may be any of these.
	Unknown string
}

// bound returns where a route with these gateways is applied; short names are of the namespace.
func (m *Mesh) bound(names []string, namespace string, view View) (out Bound) {
	for _, name := range names {
		if name == ofMesh {
			continue
		}
		of, short, _ := strings.Cut(qualified(name, namespace), "/")
		binding := view.Binding(of, short)
		switch {
		case binding == nil:
			out.Unknown = name
		case binding.Away:
			out.Elsewhere, out.Away = true, true
		case len(m.Opened(binding, view)) > 0:
			out.Egress = true
		case m.beside(binding, view):
			out.Beside = true
		default:
			out.Elsewhere = true
		}
	}
	return out
}

// gatewaysOf returns the names of the gateways that a route is for: its matches' own, or else those of the spec.
func gatewaysOf(gateways []string, route map[string]any) []string {
	matches := Matches(route)
	if !slices.ContainsFunc(matches, func(match map[string]any) bool { return match["gateways"] != nil }) {
		return gateways
	}
	out := map[string]bool{}
	for _, match := range matches {
		for _, name := range narrowed(match, gateways) {
			out[name] = true
		}
	}
	return slices.Sorted(maps.Keys(out))
}

// GatewayRoute is a route of a VirtualService that proxies other than sidecars apply.
type GatewayRoute struct {
	Section string
	Raw     map[string]any
	// Gateways are those that it is for, as namespace/name.
	Gateways []string
}

// GatewayRoutes returns them in the order of the fields.
func GatewayRoutes(vs *unstructured.Unstructured) (out []GatewayRoute) {
	gateways := GatewayNames(vs)
	for _, section := range sections {
		for _, item := range RoutesOf(vs, section) {
			raw, _ := item.(map[string]any)
			var names []string
			for _, name := range gatewaysOf(gateways, raw) {
				if name != ofMesh {
					names = append(names, qualified(name, vs.GetNamespace()))
				}
			}
			if len(names) > 0 {
				out = append(out, GatewayRoute{section, raw, names})
			}
		}
	}
	return out
}

// qualified is the name of a Gateway object with its namespace.
func qualified(name, namespace string) string {
	if strings.Contains(name, "/") {
		return name
	}
	return namespace + "/" + name
}
