package egress

import (
	"cmp"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// WorkloadFacts returns the facts of a WorkloadEntry: the address to which entries that select it lead.
func WorkloadFacts(workload *unstructured.Unstructured, gw Gateway, mesh *Mesh, view View) Facts {
	out := Facts{Gateway: gw.Name}
	address, _, _ := unstructured.NestedString(workload.Object, "spec", "address")
	if address == "" {
		return out
	}
	inMesh := mesh.within(address, view)
	out.Hosts = []HostFact{{
		Host: address, Canonical: Canonical(address), Path: field.NewPath("spec", "address"), InMesh: inMesh, Leaves: !inMesh, Endpoint: true,
	}}
	return out
}

// GatewayAPIFacts returns the facts of a route of the Gateway API: the hosts to which its backends lead. Its calls of a
// ServiceEntry are those of an object, whose hosts are that entry's own facts.
func GatewayAPIFacts(route *unstructured.Unstructured, gw Gateway, mesh *Mesh, view View) Facts {
	out := gatewayAPIFacts{
		Facts: Facts{Gateway: gw.Name}, gw: gw, mesh: mesh, view: view, namespace: route.GetNamespace(),
		protocol: strings.TrimSuffix(route.GetKind(), "Route"),
	}
	for i, rule := range objects(route.Object["spec"], "rules") {
		path := field.NewPath("spec", "rules").Index(i)
		for j, backend := range objects(rule, "backendRefs") {
			out.lead(backend, path.Child("backendRefs").Index(j))
			out.mirror(backend, path.Child("backendRefs").Index(j))
		}
		out.mirror(rule, path)
	}
	return out.Facts
}

type gatewayAPIFacts struct {
	Facts
	gw                  Gateway
	mesh                *Mesh
	view                View
	namespace, protocol string
}

// mirror adds the backends of RequestMirror filters.
func (f *gatewayAPIFacts) mirror(holder map[string]any, path *field.Path) {
	for i, filter := range objects(holder, "filters") {
		mirror, _ := filter["requestMirror"].(map[string]any)
		if backend, _ := mirror["backendRef"].(map[string]any); backend != nil {
			f.lead(backend, path.Child("filters").Index(i).Child("requestMirror", "backendRef"))
		}
	}
}

// lead adds a way to a backend, which is a Service unless it says otherwise.
func (f *gatewayAPIFacts) lead(backend map[string]any, path *field.Path) {
	text := func(key string) string { out, _ := backend[key].(string); return out }
	host := Canonical(text("name"))
	switch group, kind := text("group"), cmp.Or(text("kind"), "Service"); {
	case group == "networking.istio.io" && kind == "Hostname":
	case group == "" && kind == "Service":
		host = f.mesh.Qualify(host, cmp.Or(text("namespace"), f.namespace))
	default:
		return
	}
	path = path.Child("name")
	via, gateway := f.via(host)
	fact := hostFact(text("name"), host, path, f.gw, f.mesh, f.view)
	fact.Leaves = via != ViaMesh
	f.Hosts = append(f.Hosts, fact)
	f.Routes = append(f.Routes, RouteFact{
		Host: host, Port: number(backend["port"]), Protocol: f.protocol, From: "mesh", Via: via, Gateway: gateway, Path: path,
	})
}

// via says how calls of a host leave the sidecars of the namespace.
func (f *gatewayAPIFacts) via(host string) (via, gateway string) {
	serving := Serving(f.view.Entries(host), f.namespace)
	service := f.view.Service(host)
	switch {
	case service != nil && service.ExternalName:
		return ViaDirect, ""
	case f.mesh.InMesh(host, f.view), serving != nil && !serving.External:
		return ViaMesh, ""
	case serving == nil:
		return ViaUnregistered, ""
	case serving.Gateway != "" && !serving.Led:
		return ViaGateway, serving.Gateway
	}
	return ViaDirect, ""
}

// objects returns those of a list under a key.
func objects(of any, key string) (out []map[string]any) {
	holder, _ := of.(map[string]any)
	items, _ := holder[key].([]any)
	for _, item := range items {
		object, _ := item.(map[string]any)
		out = append(out, object)
	}
	return out
}
