package review

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

func routeIntent(s *subject, vs *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	if _, recorded := vs.GetAnnotations()[hop.IntentAnnotation]; !recorded || !s.Mesh.Inject {
		// It is as it was written; or nothing is rewritten, and the record is anybody's word: what counts is what will be stored.
		return vs, nil
	}
	return hop.RouteIntent(vs, s.Mesh)
}

func inject(s *subject) (*unstructured.Unstructured, error) {
	if !s.Mesh.Inject {
		return s.Object, nil
	}
	if s.aside {
		return s.intent, nil
	}
	if ours := clientRoute(s); ours != nil {
		// Whoever writes it, there is one form.
		out := s.intent.DeepCopy()
		out.Object["spec"] = ours
		return out, nil
	}
	return hop.InjectIntent(s.intent, s.gateway, s.Mesh, s.View), nil
}

// clientRoute returns the spec of the client route that the subject says it is, nil where there is none to be.
func clientRoute(s *subject) any {
	if !hop.IsClientRoute(s.Object) {
		return nil
	}
	for _, ours := range hop.ClientRoutes(s.Mesh, s.View, s.Namespace.Name, s.Object.GetAnnotations()[hop.HostAnnotation]) {
		if ours.GetName() == s.Object.GetName() {
			return ours.Object["spec"]
		}
	}
	return nil
}

// keptRoutes says whether the subject is a client route that the controller keeps, as it is to be.
func keptRoutes(s *subject) bool {
	spec := clientRoute(s)
	return spec != nil && equality.Semantic.DeepEqual(s.Object.Object["spec"], spec)
}

// examineRoutes looks at the routes that will be stored.
func examineRoutes(s *subject) (egress.Facts, hop.Refusals) {
	facts, refusals := examineForms(s)
	if s.Mesh.Inject && len(refusals) == 0 && !hop.IsClientRoute(s.Object) {
		refusals = hop.CheckInjected(s.Object, s.intent, s.Mesh)
	}
	return facts, append(refusals, keptRoutesOf(s)...)
}

// examineForms looks at the routes as they stand. An entry may have come or gone since they were injected: either form leads to
// the gateway or is in the facts.
func examineForms(s *subject) (egress.Facts, hop.Refusals) {
	facts, refusals := examineForm(s, s.Object)
	if len(refusals) == 0 {
		return facts, nil
	}
	injected, err := inject(s)
	if err != nil || same(injected.Object["spec"], s.Object.Object["spec"]) {
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
	resolved := s.resolved(form)
	if s.Mesh.Inject {
		resolved.Pairs = hop.Pairs(resolved.Destinations(), s.intent, s.Mesh)
	}
	refusals := slices.Concat(hop.CheckRoutes(resolved), hop.CheckHeaders(form), hop.CheckExpressions(form), hop.CheckValues(form))
	if s.Mesh.Carries() && resolved.Mesh && resolved.External {
		refusals = append(refusals, exports(s, resolved.ExportTo)...)
	}
	switch {
	case resolved.Left:
		refusals = append(refusals, hop.CheckLeft(form, resolved, s.Mesh, s.View)...)
	case s.leads():
		refusals = append(refusals, hop.CheckLed(resolved, s.gateway, s.View, refusals)...)
	}
	if hop.IsClientRoute(form) {
		refusals = append(refusals, egress.Finding{
			Code: "client-route", Field: "metadata.labels", Message: "the routes have the marks of those that egress-governor keeps for a host, and there are none to be of this name",
			Fix: "remove the label " + hop.ManagedByLabel + " and the annotation " + hop.HostAnnotation,
		})
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
		out = append(out, "spec.exportTo: the routes are for calls of their own namespace alone, until it has the first ServiceEntry of each host and no namespace that they are exported to has another; then they are for whom exportTo names")
	}
	idles := idle(s)
	return slices.Concat(out, rerouted(s), routeNotes(s, len(idles) > 0), idles, unencryptedRoutes(s))
}

// rerouted tells which calls are led to a gateway that their author led elsewhere.
func rerouted(s *subject) (out []string) {
	var was []egress.Destination
	for i, route := range s.resolved(s.Object).Routes {
		if !route.ToGateway {
			continue
		}
		if was == nil {
			was = egress.Destinations(s.intent)
		}
		if was[i].Host() != route.Host() {
			gw, _ := s.Mesh.GatewayByService(route.Canonical)
			out = append(out, fmt.Sprintf("%s: calls to %s now leave through egress gateway %q", route.Path, was[i].Host(), gw.Name))
		}
	}
	return out
}

// routeNotes tell of routes that are stored, and whose calls would not all end where they say; of HTTP nothing where it is told that all is idle.
func routeNotes(s *subject, idles bool) (out []string) {
	resolved := s.resolved(s.Object)
	for _, route := range resolved.Routes {
		sealed := route.Serving != nil && route.Serving.Gateway != ""
		if sealed && route.Reach.Mesh && !seenByAll(route.Entries, resolved.ExportTo, s.Namespace.Name) {
			out = append(out, fmt.Sprintf("%s: the routes are exported to namespaces that do not see ServiceEntry %s/%s, and their calls to %s fail; give both the same exportTo",
				route.Path, route.Serving.Namespace, route.Serving.Name, route.Host()))
		}
		if route.Bound.Elsewhere && sealed {
			out = append(out, fmt.Sprintf("%s: pods of this route's gateway that share a namespace with an egress gateway would call %s directly", route.Path, route.Host()))
			if _, all := egress.Clients(route.Serving.ExportTo, route.Serving.Namespace); !all {
				out = append(out, fmt.Sprintf("%s: pods of this route's gateway see %s only where exportTo of ServiceEntry %s/%s names their namespace; elsewhere their calls fail",
					route.Path, route.Host(), route.Serving.Namespace, route.Serving.Name))
			}
		}
		if route.Reach.Mesh && route.Serving == nil && !route.InMesh && !route.ToGateway {
			out = append(out, fmt.Sprintf("%s: no ServiceEntry or Service names %s, and such calls fail until one does", route.Path, route.Host()))
		}
		if name, _ := route.Raw["subset"].(string); name != "" && sealed && !s.View.Rule(s.Namespace.Name, route.Canonical).HasSubset(name) {
			out = append(out, fmt.Sprintf("%s: %s has no subset %q, and such calls fail until a DestinationRule of the namespace has it", route.Path, route.Host(), name))
		}
		if number := route.Port(); number == hop.Nowhere && sealed {
			if !idles {
				out = append(out, fmt.Sprintf("%s: HTTP calls that are led to a TLS port of %s would leave in clear, so they fail; lead them to its HTTP port", route.Path, route.Host()))
			}
		} else if number != 0 && sealed && !hasPort(route, number) {
			out = append(out, fmt.Sprintf("%s: ServiceEntry %s/%s has no port %d of %s, and such calls fail", route.Path, route.Serving.Namespace, route.Serving.Name, number, route.Host()))
		}
		if serving := route.Serving; route.Reach.Mesh && serving != nil && serving.External && serving.Gateway == "" {
			out = append(out, fmt.Sprintf("%s: calls to %s leave directly, past every egress gateway: ServiceEntry %s/%s is of a namespace that is not governed",
				route.Path, route.Host(), serving.Namespace, serving.Name))
		}
	}
	return out
}

// idle tells of HTTP routes of hosts that have no HTTP port: sidecars do not read what comes to any other.
func idle(s *subject) []string {
	resolved := s.resolved(s.Object)
	at := slices.IndexFunc(resolved.Routes, func(route egress.Route) bool { return route.Section == "http" && route.Reach.Mesh })
	if at < 0 || resolved.IsDelegate() {
		return nil
	}
	for _, host := range resolved.Hosts {
		serving := egress.Concerned(s.View.Entries(host.Canonical), s.Namespace.Name)
		if serving == nil || serving.Gateway == "" || s.readsHTTP(host.Canonical, serving) {
			return nil
		}
	}
	return []string{fmt.Sprintf("%s: no port of %s is HTTP, and sidecars do not read what apps encrypt: no call is under the HTTP routes, nor under their timeouts and retries; "+
		"set these in the app, or declare an HTTP port where apps call in clear", resolved.Routes[at].RoutePath, resolved.Hosts[0].Host)}
}

// hasPort says whether the entries by which the routes' own namespace calls their host have a port.
func hasPort(route egress.Route, number uint32) bool {
	return slices.ContainsFunc(route.Entries, func(entry *egress.Entry) bool {
		return entry.Namespace == route.Serving.Namespace && slices.ContainsFunc(entry.Ports, func(port egress.Port) bool { return port.Number == number })
	})
}

// seenByAll says whether all who apply routes with an exportTo see an entry of a host.
func seenByAll(entries []*egress.Entry, exportTo []string, namespace string) bool {
	clients, all := egress.Clients(exportTo, namespace)
	if all {
		return slices.ContainsFunc(entries, func(entry *egress.Entry) bool {
			_, public := egress.Clients(entry.ExportTo, entry.Namespace)
			return public
		})
	}
	return !slices.ContainsFunc(clients, func(client string) bool { return egress.Serving(entries, client) == nil })
}
