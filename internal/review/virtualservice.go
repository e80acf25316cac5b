package review

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

func routeIntent(s *subject, vs *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	if !s.Mesh.Inject {
		// Nothing is rewritten, and the record is anybody's word: what counts is what will be stored.
		return vs.DeepCopy(), nil
	}
	return hop.RouteIntent(vs, s.Mesh)
}

func inject(s *subject) (*unstructured.Unstructured, error) {
	if !s.Mesh.Inject {
		return s.Object, nil
	}
	return hop.InjectIntent(s.intent, s.gateway, s.Mesh, s.View), nil
}

// examineRoutes looks at the routes that will be stored. An entry may have come or gone since they were injected: either
// form leads to the gateway or is in the facts.
func examineRoutes(s *subject) (egress.Facts, hop.Refusals) {
	facts, refusals := examineForm(s, s.Object)
	if len(refusals) == 0 {
		return facts, nil
	}
	injected, err := inject(s)
	if err != nil || equality.Semantic.DeepEqual(injected.Object["spec"], s.Object.Object["spec"]) {
		return facts, refusals
	}
	// Another replica rewrote it before it knew of an entry; the controller of routes makes up for that.
	out, still := examineForm(s, injected)
	if len(still) > 0 {
		return facts, refusals
	}
	out.Hosts, out.Routes = append(out.Hosts, facts.Hosts...), append(out.Routes, facts.Routes...)
	out.Clients, out.AllClients = facts.Clients, facts.AllClients
	return out, nil
}

func examineForm(s *subject, form *unstructured.Unstructured) (egress.Facts, hop.Refusals) {
	resolved := egress.Resolve(form, s.Mesh, s.View)
	resolved.Pairs = hop.Pairs(form, s.intent, s.Mesh)
	refusals := append(hop.CheckRoutes(resolved), hop.CheckHeaders(form)...)
	if s.Mesh.Inject && resolved.Mesh && resolved.External {
		refusals = append(refusals, exports(s, resolved.ExportTo)...)
	}
	return egress.RouteFacts(resolved, s.gateway, s.Mesh, s.View), refusals
}

func routeChanges(s *subject) (out []string) {
	written := listOf(s.intent, "exportTo")
	switch {
	case equality.Semantic.DeepEqual(written, listOf(s.Object, "exportTo")):
	case s.Mesh.OwnNamespace && len(written) == 0:
		out = append(out, `spec.exportTo: was left out, so the routes are for calls of their own namespace alone; name the namespaces whose calls they are for, or "*" for all`)
	case len(written) == 0 && len(s.Mesh.Gateways) > 1 && len(egress.Resolve(s.intent, s.Mesh, s.View).Others) == 0:
		out = append(out, "spec.exportTo: there are several egress gateways, so the routes are for calls of their own namespace alone; name the namespaces whose calls they are for")
	default:
		out = append(out, "spec.exportTo: the routes are for calls of their own namespace alone, since its entries of the hosts are not the first, or others have some too")
	}
	was := egress.Destinations(s.intent)
	for i, d := range egress.Destinations(s.Object) {
		if gw, ok := s.Mesh.GatewayByService(d.Host()); ok && was[i].Host() != d.Host() {
			out = append(out, fmt.Sprintf("%s: calls to %s now leave through egress gateway %q", d.Path, was[i].Host(), gw.Name))
		}
	}
	for _, route := range egress.Resolve(s.Object, s.Mesh, s.View).Routes {
		if route.Bound.Elsewhere && route.Serving != nil && route.Serving.Gateway != "" {
			out = append(out, fmt.Sprintf("%s: pods of this route's gateway that share a namespace with an egress gateway would call %s directly", route.Path, route.Host()))
		}
		if serving := route.Serving; route.Reach.Mesh && serving != nil && serving.External && serving.Gateway == "" {
			out = append(out, fmt.Sprintf("%s: calls to %s leave directly, past every egress gateway: ServiceEntry %s/%s is of a namespace that is not governed",
				route.Path, route.Host(), serving.Namespace, serving.Name))
		}
	}
	return out
}
