package egress

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Route is one destination of a VirtualService with everything that the cluster says of it: what rewrites, checks and
// facts go by, resolved once.
type Route struct {
	Destination
	// Canonical is the destination's host, a short name expanded.
	Canonical string
	// Reach says which proxies apply the route.
	Reach Reach
	// Targets are the hosts that its calls ask for. Routes of one object may share the slice.
	Targets []Target
	// Entries are those that name the host, Serving is the one that sidecars of the namespace go by; nil for none.
	Entries []*Entry
	Serving *Entry
	// Exit is how the gateway that Serving is sealed to reaches the host; nil for none.
	Exit *Exit
	// InMesh is true for hosts of Services and below the cluster domain.
	InMesh bool
}

// VirtualService is one with its routes resolved.
type VirtualService struct {
	// Namespace is the object's.
	Namespace string
	// Hosts are those of the spec. They are asked for by routes that change neither authority nor SNI.
	Hosts []Target
	// Delegated are the authorities that routes without destinations set.
	Delegated []Target
	// Mesh says whether sidecars apply it at all.
	Mesh bool
	// Routes are its destinations, in the order of the fields.
	Routes []Route
}

// Resolve reads a VirtualService against the cluster.
func Resolve(vs *unstructured.Unstructured, mesh *Mesh, view View) *VirtualService {
	gateways, _, _ := unstructured.NestedStringSlice(vs.Object, "spec", "gateways")
	r := &resolver{mesh: mesh, view: view, namespace: vs.GetNamespace(), known: map[string]Route{}}
	hosts, _, _ := unstructured.NestedStringSlice(vs.Object, "spec", "hosts")
	for i, host := range hosts {
		target := r.target(host, field.NewPath("spec", "hosts").Index(i), true)
		target.OfSpec = true
		r.hosts = append(r.hosts, target)
	}
	out := &VirtualService{Namespace: r.namespace, Hosts: r.hosts, Delegated: r.delegated(vs), Mesh: reach(gateways).Mesh}
	for _, d := range Destinations(vs) {
		route := r.host(d.Host())
		route.Destination, route.Reach, route.Targets = d, reachOf(gateways, d.Route), r.targets(d)
		out.Routes = append(out.Routes, route)
	}
	return out
}

// resolver reads the destinations of one object. What it knows of a host it has asked for once, since thousands of
// routes commonly lead to a few hosts.
type resolver struct {
	mesh      *Mesh
	view      View
	namespace string
	hosts     []Target
	known     map[string]Route
}

// host returns the part of a route that depends on nothing but its destination's host.
func (r *resolver) host(written string) Route {
	if route, ok := r.known[written]; ok {
		return route
	}
	canonical := r.mesh.Qualify(written, r.namespace)
	entries := r.view.Entries(canonical)
	out := Route{
		Canonical: canonical, Entries: entries, Serving: Serving(entries, r.namespace),
		InMesh: r.mesh.InMesh(canonical, r.view),
	}
	if out.Serving != nil && out.Serving.Gateway != "" {
		gw, _ := r.mesh.GatewayByName(out.Serving.Gateway)
		out.Exit = r.view.Exit(canonical, gw.Namespace())
	}
	r.known[written] = out
	return out
}
