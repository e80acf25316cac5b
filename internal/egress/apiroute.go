package egress

import (
	"cmp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// A route of the Gateway API is what Istio makes of it: VirtualServices, a set of them for each parent. They are exported to
// everybody, and nothing in a route keeps them from that.

// APIRoute is a route of the Gateway API.
type APIRoute struct {
	Kind, Namespace string
	Parents         []APIParent
	mesh            *Mesh
	view            View
	// section is that of the VirtualServices, rules are its routes, and places the route's fields by theirs.
	section   string
	rules     []any
	places    map[string]*field.Path
	hostnames []string
}

// APIParent is what a route is attached to.
type APIParent struct {
	// Kind is ServiceEntry, Service, Gateway, ListenerSet, or with its group what Istio does not know.
	Kind, Namespace, Name string
	// Port is the one whose calls the route is for, 0 for all.
	Port uint32
	Path *field.Path
	// Hosts are those whose calls the route decides over, canonical; none for a ServiceEntry that is not there.
	Hosts []string
	forms []APIForm
}

// APIForm is a VirtualService that Istio makes of a route: as it would be written, and resolved.
type APIForm struct {
	Written *unstructured.Unstructured
	*VirtualService
}

// OfMesh says whether sidecars apply what is attached to it.
func (p *APIParent) OfMesh() bool { return p.Kind == "ServiceEntry" || p.Kind == "Service" }

// ReadAPIRoute reads a route of the Gateway API. What Istio looks at no further is left out.
func ReadAPIRoute(object *unstructured.Unstructured, mesh *Mesh, view View) *APIRoute {
	out := &APIRoute{Kind: object.GetKind(), Namespace: object.GetNamespace(), mesh: mesh, view: view, places: map[string]*field.Path{}}
	out.section = map[string]string{"TLSRoute": "tls", "TCPRoute": "tcp"}[out.Kind]
	if out.section == "" {
		out.section = "http"
	}
	spec, _ := object.Object["spec"].(map[string]any)
	out.hostnames = Texts(spec["hostnames"])
	for i, ref := range Objects(spec, "parentRefs") {
		out.Parents = append(out.Parents, out.parent(ref, field.NewPath("spec", "parentRefs").Index(i)))
	}
	for i, rule := range Objects(spec, "rules") {
		out.rules = append(out.rules, out.rule(rule, i))
	}
	return out
}

// parent reads what the route is attached to.
func (r *APIRoute) parent(ref map[string]any, path *field.Path) APIParent {
	group, given := ref["group"].(string)
	if !given {
		group = gatewayAPI
	}
	kind := cmp.Or(text(ref, "kind"), "Gateway")
	out := APIParent{
		Kind: kind, Namespace: cmp.Or(text(ref, "namespace"), r.Namespace), Name: text(ref, "name"),
		Port: Number(ref["port"]), Path: path,
	}
	switch group + "/" + kind {
	case networking + "/ServiceEntry":
		if entry := r.view.Named(out.Namespace, out.Name); entry != nil {
			out.Hosts = entry.Hosts
		}
	case "/Service":
		out.Hosts = []string{r.mesh.Qualify(out.Name, out.Namespace)}
	default:
		// A Gateway, or what adds listeners to one; or it is another implementation's.
		if out.Hosts = r.hostnames; group != gatewayAPI {
			out.Kind = group + "/" + kind
		}
		if len(out.Hosts) == 0 || r.section == "tcp" {
			out.Hosts = []string{"*"}
		}
	}
	return out
}

// OfHTTP says whether its calls are told apart by the Host header.
func (r *APIRoute) OfHTTP() bool { return r.section == "http" }

// OfTLS says whether its calls are told apart by SNI.
func (r *APIRoute) OfTLS() bool { return r.section == "tls" }

// IsKnown says whether some entry names a host, or one that a wildcard stands for.
func (r *APIRoute) IsKnown(name string) bool { return len(r.view.Below(Canonical(name))) > 0 }

// Size is how many hosts the parents have, of which how many wildcards, and how many values the rules: each host is looked at
// with each value.
func (r *APIRoute) Size() (hosts, wildcards, values int) {
	for _, parent := range r.Parents {
		hosts += len(parent.Hosts)
		for _, host := range parent.Hosts {
			if IsWildcard(host) {
				wildcards++
			}
		}
	}
	return hosts, wildcards, valuesIn(r.rules)
}

func valuesIn(of any) int {
	out := 1
	switch v := of.(type) {
	case map[string]any:
		for _, item := range v {
			out += valuesIn(item)
		}
	case []any:
		for _, item := range v {
			out += valuesIn(item)
		}
	}
	return out
}

// Forms returns the VirtualServices that Istio makes of the route for a parent: one for each host.
func (r *APIRoute) Forms(parent *APIParent) []APIForm {
	if parent.forms == nil {
		unknown := strings.HasSuffix(parent.Kind, "ListenerSet") || parent.Kind == "Gateway" && len(r.mesh.GatewaysIn(parent.Namespace)) > 0
		for _, written := range r.written(parent) {
			vs := Resolve(written, r.mesh, apiGateways{r.view, !unknown})
			vs.Of = r.Kind
			parent.forms = append(parent.forms, APIForm{written, vs})
		}
	}
	return parent.forms
}

func (r *APIRoute) written(parent *APIParent) (out []*unstructured.Unstructured) {
	for _, host := range parent.Hosts {
		spec := map[string]any{"hosts": []any{host}}
		if !parent.OfMesh() {
			spec["gateways"] = []any{parent.Namespace + "/" + parent.Name}
		}
		match := map[string]any{}
		if parent.Port != 0 && parent.OfMesh() {
			match["port"] = int64(parent.Port)
		}
		if r.section == "tls" {
			match["sniHosts"] = list(r.SNIs(parent, host))
		}
		rules := r.rules
		if len(match) > 0 {
			rules = slices.Clone(rules)
			for i, item := range rules {
				matched := map[string]any{"match": []any{match}}
				rule, _ := item.(map[string]any)
				for key, value := range rule {
					matched[key] = value
				}
				rules[i] = matched
			}
		}
		spec[r.section] = rules
		vs := &unstructured.Unstructured{Object: map[string]any{"kind": "VirtualService", "spec": spec}}
		vs.SetNamespace(r.Namespace)
		out = append(out, vs)
	}
	return out
}

// SNIs returns what the calls that a TLSRoute takes of a parent's host ask for: its hostnames, of several those that stand for
// the host or it for them, or the parent's own hosts. Where none is left the route takes whatever nobody else does.
func (r *APIRoute) SNIs(parent *APIParent, host string) []string {
	names := r.hostnames
	if len(names) == 0 && parent.OfMesh() {
		names = parent.Hosts
	}
	if len(names) == 0 {
		return []string{"*"}
	}
	if len(names) == 1 || !parent.OfMesh() {
		return names
	}
	var out []string
	for _, name := range names {
		if Covers(name, host) || Covers(host, name) {
			out = append(out, name)
		}
	}
	return out
}

// apiGateways is a view that has Gateways of the Gateway API in the place of Istio's. Their proxies are in their own
// namespace; which of it they are, nobody is asked.
type apiGateways struct {
	View
	away bool
}

// Binding implements View.
func (v apiGateways) Binding(string, string) *Binding {
	if v.away {
		return &Binding{Away: true}
	}
	return nil
}

// Place returns the field of the route for one of its VirtualServices for a parent.
func (r *APIRoute) Place(parent *APIParent, written string) *field.Path {
	if strings.HasPrefix(written, "spec.hosts[") {
		if parent.OfMesh() {
			return parent.Path.Child("name")
		}
		return field.NewPath("spec", "hostnames")
	}
	for at := written; at != ""; at = at[:max(0, strings.LastIndexAny(at, ".["))] {
		place, known := r.places[at]
		if !known {
			continue
		}
		switch rest := written[len(at):]; {
		case rest == ".host":
			return place.Child("name")
		case rest == ".port.number", rest == ".port":
			return place.Child("port")
		case r.section == "tls" && strings.HasPrefix(rest, ".match"):
			return field.NewPath("spec", "hostnames")
		}
		return place
	}
	return field.NewPath("spec")
}
