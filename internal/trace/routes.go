package trace

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// mesh is the name by which routes mean sidecars among gateways.
const mesh = "mesh"

// routes are those of a VirtualService, or what Istio makes of a route of the Gateway API.
type routes struct {
	object   Object
	exportTo []string
	hosts    []string
	gateways []string
	http     []*route
	tls      []*route
	tcp      []*route
	placed   func(field string) string
}

// route is one of a list, with the blocks by one of which it takes calls. Each block may have those of a root besides.
type route struct {
	of     *routes
	field  string
	raw    fields
	blocks [][]fields
	// qualify is the namespace of short names.
	namespace string
}

func (r *route) place(field string) *Object {
	out := r.of.object
	if out.Field = field; r.of.placed != nil {
		out.Field = r.of.placed(field)
	}
	return &out
}

func (c *Cluster) addRoutes(object *unstructured.Unstructured) {
	out := c.read(object, Object{Kind: "VirtualService", Namespace: object.GetNamespace(), Name: object.GetName()})
	if len(out.hosts) == 0 {
		c.delegates[object.GetNamespace()+"/"+object.GetName()] = out
		return
	}
	c.routes = append(c.routes, out)
}

func (c *Cluster) read(object *unstructured.Unstructured, named Object) *routes {
	out := &routes{object: named, exportTo: egress.ExportTo(object), gateways: textsOf(object.Object, "spec", "gateways")}
	for _, host := range textsOf(object.Object, "spec", "hosts") {
		out.hosts = append(out.hosts, c.mesh.Qualify(host, object.GetNamespace()))
	}
	if len(out.gateways) == 0 {
		out.gateways = []string{mesh}
	}
	for i, name := range out.gateways {
		out.gateways[i] = gatewayName(name, object.GetNamespace())
	}
	for section, into := range map[string]*[]*route{"http": &out.http, "tls": &out.tls, "tcp": &out.tcp} {
		for i, raw := range listOf(object.Object, "spec", section) {
			one := &route{of: out, field: fmt.Sprintf("spec.%s[%d]", section, i), raw: raw, namespace: object.GetNamespace()}
			for _, block := range egress.Matches(raw) {
				one.blocks = append(one.blocks, []fields{block})
			}
			if len(one.blocks) == 0 {
				one.blocks = [][]fields{nil}
			}
			*into = append(*into, one)
		}
	}
	return out
}

// gatewayName returns the name of a Gateway object as namespace/name; mesh stays as it is.
func gatewayName(name, namespace string) string {
	if name == mesh || strings.Contains(name, "/") {
		return strings.Replace(name, "./", namespace+"/", 1)
	}
	return namespace + "/" + name
}

// addAPIRoute takes in what Istio makes of a route of the Gateway API. That of a consumer is for calls of its own namespace.
func (c *Cluster) addAPIRoute(object *unstructured.Unstructured) {
	of := egress.ReadAPIRoute(object, c.mesh, c.view)
	for i := range of.Parents {
		parent := &of.Parents[i]
		if !parent.OfMesh() {
			continue
		}
		for _, form := range of.Forms(parent) {
			out := c.read(form.Written, Object{Kind: object.GetKind(), Namespace: object.GetNamespace(), Name: object.GetName()})
			if parent.Namespace != object.GetNamespace() {
				out.exportTo = []string{"."}
			}
			for i, rule := range listOf(object.Object, "spec", "rules") {
				if i < len(out.http) {
					out.http[i].blocks = conditioned(out.http[i].blocks, object.GetKind(), listOf(rule, "matches"))
				}
			}
			// Istio has the more specific first.
			slices.SortStableFunc(out.http, func(a, b *route) int { return last(a.takesAll()) - last(b.takesAll()) })
			out.placed = func(field string) string { return of.Place(parent, field).String() }
			c.routes = append(c.routes, out)
		}
	}
}

// seen are the routes of sidecars that the proxy has, in the order in which Istio takes them.
func (p *proxy) seen() (out []*routes) {
	for rank := 3; rank > 0; rank-- {
		for _, one := range p.routes {
			if slices.Contains(one.gateways, mesh) && p.sees(one.exportTo, one.object.Namespace) == rank && p.imports(one.object.Namespace, one.hosts) {
				out = append(out, one)
			}
		}
	}
	return out
}

// naming returns those for exactly a host.
func (p *proxy) naming(host string) []*routes {
	return slices.DeleteFunc(p.seen(), func(one *routes) bool { return !slices.Contains(one.hosts, host) })
}

// whole returns HTTP routes with those that they delegate to in their places.
func (p *proxy) whole(all []*route) (out []*route) {
	for _, root := range all {
		of := fieldsOf(root.raw, "delegate")
		if of == nil {
			out = append(out, root)
			continue
		}
		namespace := textOf(of, "namespace")
		if namespace == "" {
			namespace = root.namespace
		}
		to := p.delegates[namespace+"/"+textOf(of, "name")]
		if to == nil || !egress.Exports(to.exportTo, namespace, root.namespace) {
			continue
		}
		for _, leaf := range to.http {
			one := *leaf
			one.raw, one.blocks = inherited(root.raw, leaf.raw), nil
			for _, above := range root.blocks {
				for _, below := range leaf.blocks {
					one.blocks = append(one.blocks, slices.Concat(above, below))
				}
			}
			out = append(out, &one)
		}
	}
	return out
}

// inherited returns a delegate's route with what it leaves to its root.
func inherited(root, leaf fields) fields {
	out := maps.Clone(leaf)
	for _, key := range []string{"rewrite", "mirror", "mirrors", "headers"} {
		if out[key] == nil && root[key] != nil {
			out[key] = root[key]
		}
	}
	return out
}

// destinations are those of a route, its mirrors apart.
func (r *route) destinations() (led, copied []egress.Destination) {
	section := strings.SplitN(strings.TrimPrefix(r.field, "spec."), "[", 2)[0]
	form := &unstructured.Unstructured{Object: fields{"spec": fields{section: []any{r.raw}}}}
	for _, d := range egress.Destinations(form) {
		if d.Mirror {
			copied = append(copied, d)
		} else if weight := numberOf(d.Holder, "weight"); weight > 0 || d.Holder["weight"] == nil {
			led = append(led, d)
		}
	}
	if len(led) > 1 && slices.ContainsFunc(led, func(d egress.Destination) bool { return numberOf(d.Holder, "weight") > 0 }) {
		led = slices.DeleteFunc(led, func(d egress.Destination) bool { return numberOf(d.Holder, "weight") == 0 })
	}
	return led, copied
}

// at returns the field of a destination in the object of the route.
func (r *route) at(d egress.Destination) *Object {
	_, rest, _ := strings.Cut(d.Path.String(), "]")
	return r.place(r.field + rest)
}
