package trace

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// told is an object in words.
func told(of *Object) string {
	if of == nil {
		return "the client's sidecar"
	}
	out := of.Kind + " " + of.Namespace + "/" + of.Name
	if of.Field != "" {
		return of.Field + " of " + out
	}
	return out
}

// sentence says by which route it comes to something.
func sentence(route *Object, then string) string {
	if route == nil {
		return then
	}
	return told(route) + " takes them: " + then
}

// taken says why a gateway leads a call on.
func (p *proxy) taken(of arrival, from lead, by *service, to lead) string {
	leads := fmt.Sprintf("egress gateway %q leads them to %s:%d", of.gw.Name, to.to.host, to.to.port)
	if by == nil {
		return sentence(from.route, leads)
	}
	return sentence(from.route, fmt.Sprintf("ServiceEntry %s/%s is sealed, and %s", by.Namespace, by.Name, leads))
}

// entriesOf returns the entries of the host that a call asks its gateway for, as their authors wrote them.
func (p *proxy) entriesOf(of arrival, from lead) (host string, entries []*egress.Entry) {
	host = asked(of)
	if pair, is := p.view.Pair(host); is {
		host = pair.Led
	} else if len(p.view.Entries(host)) == 0 {
		for _, name := range append([]string{from.to.host}, egress.Patterns(host)[1:]...) {
			if len(p.view.Entries(name)) > 0 {
				return name, p.view.Entries(name)
			}
		}
	}
	return host, p.view.Entries(host)
}

// admits says whom a gateway lets in to what it leads to.
func (p *proxy) admits(of arrival, to cluster) string {
	exit := p.view.Exit(to.host, of.gw.Namespace())
	switch {
	case !of.mutual:
		return "whoever reaches the gateway, which by transport Plain does not know who calls"
	case exit == nil:
		return ""
	}
	callers := exit.Callers(to.port, of.gw.Leg(), p.governs)
	if callers.Anyone {
		return "every identity of the mesh"
	}
	var out []string
	for _, namespace := range slices.Sorted(maps.Keys(callers.Of)) {
		accounts := callers.Of[namespace]
		if accounts == nil {
			out = append(out, "all service accounts of "+namespace)
		}
		for _, account := range accounts {
			out = append(out, namespace+"/"+account)
		}
	}
	return short(out)
}

func (p *proxy) governs(namespace string) bool { return p.view.GatewayOf(namespace) != "" }

// short names the first of many.
func short(all []string) string {
	const few = 3
	if len(all) > few+1 {
		all = append(slices.Clone(all[:few]), fmt.Sprintf("%d more", len(all)-few))
	}
	return strings.Join(all, ", ")
}

// turnedAway says why a gateway answers a call itself: nobody lets the caller in, or there is nothing that it could lead it to.
func (p *proxy) turnedAway(of arrival, from lead, by *service, answer string) (why, change string) {
	why = fmt.Sprintf("egress gateway %q does not lead them on: %s", of.gw.Name, answer)
	if suspended, change := p.suspended(of, from); change != "" {
		return why + suspended, change
	}
	if strings.HasPrefix(answer, "no route takes them") {
		host, _ := p.entriesOf(of, from)
		return why, fmt.Sprintf("write port %d of %s into a ServiceEntry that %s sees", of.call.Port, host, p.namespace)
	}
	return why, p.letIn(of, from, by)
}

// letIn says what would have a gateway let a caller in.
func (p *proxy) letIn(of arrival, from lead, by *service) string {
	host, entries := p.entriesOf(of, from)
	exit := p.view.Exit(host, of.gw.Namespace())
	callers := exit.Callers(from.to.port, of.gw.Leg(), p.governs)
	if accounts := callers.Of[of.call.Namespace]; accounts != nil {
		return fmt.Sprintf("call as %s, or write %s into the annotation egress-governor.io/service-accounts of a ServiceEntry of %s", strings.Join(accounts, " or "), of.call.Caller(), host)
	}
	if by == nil && len(entries) == 0 {
		return fmt.Sprintf("write a ServiceEntry for %s in namespace %s", host, of.call.Namespace)
	}
	return fmt.Sprintf("write a ServiceEntry for %s in namespace %s, or ask the owners of %s to export theirs to it", host, of.call.Namespace, owners(entries))
}

func owners(of []*egress.Entry) string {
	var out []string
	for _, entry := range of {
		out = append(out, "ServiceEntry "+entry.Namespace+"/"+entry.Name)
	}
	slices.Sort(out)
	return short(out)
}

// suspended says which suspended entry a call would need, empty for none.
func (p *proxy) suspended(of arrival, from lead) (why, change string) {
	_, entries := p.entriesOf(of, from)
	for _, entry := range entries {
		reason, is := p.view.Suspended(types.NamespacedName{Namespace: entry.Namespace, Name: entry.Name})
		if is && egress.Exports(entry.ExportTo, entry.Namespace, p.namespace) {
			return fmt.Sprintf("; ServiceEntry %s/%s is suspended: %s", entry.Namespace, entry.Name, reason), fmt.Sprintf("have ServiceEntry %s/%s comply with the policy that it violates", entry.Namespace, entry.Name)
		}
	}
	return "", ""
}

// notTaken says why a gateway takes a call for nothing that it knows.
func (p *proxy) notTaken(of arrival, from lead, by *service) (why, change string) {
	if of.encryptedBy != nil {
		return sentence(from.route, fmt.Sprintf("%s has the client's proxy encrypt them, which egress gateway %q does itself, and it takes none that are", told(of.encryptedBy), of.gw.Name)),
			fmt.Sprintf("take tls out of %s, or apply it anew: the answer says what to write", told(of.encryptedBy))
	}
	why = fmt.Sprintf("nothing at egress gateway %q takes calls for %s", of.gw.Name, of.call)
	if name := hostOf(of.asks); of.call.Family == egress.FamilyHTTP && name != from.to.host && by != nil {
		why = sentence(from.route, fmt.Sprintf("egress gateway %q is asked for %s, which it has no exit of", of.gw.Name, name))
	}
	if suspended, change := p.suspended(of, from); change != "" {
		return why + suspended, change
	}
	if problems := of.gw.Problems(p.view.Service(of.gw.Service)); len(problems) > 0 {
		return why + ": " + problems[0].Message, problems[0].Fix
	}
	host, _ := p.entriesOf(of, from)
	if exit := p.view.Exit(host, of.gw.Namespace()); exit != nil && of.mutual {
		callers := exit.Callers(from.to.port, of.gw.Leg(), p.governs)
		if !callers.Admits(of.call.Namespace, of.call.ServiceAccount) {
			return fmt.Sprintf("egress gateway %q does not let %s in to port %d of %s", of.gw.Name, of.call.Caller(), from.to.port, host), p.letIn(of, from, by)
		}
	}
	return why, p.noExit(of, from)
}

// noExit says what would have a gateway lead a call on.
func (p *proxy) noExit(of arrival, from lead) string {
	host, entries := p.entriesOf(of, from)
	for _, entry := range entries {
		if ready := p.ready[entry.Namespace+"/"+entry.Name]; ready != nil && ready.Status == "False" {
			return fmt.Sprintf("mend what ServiceEntry %s/%s says in its condition ExitReady: %s: %s", entry.Namespace, entry.Name, ready.Reason, ready.Message)
		}
	}
	if p.view.Exit(host, of.gw.Namespace()) != nil {
		return fmt.Sprintf("wait for the controller of egress-governor to make the exit of %s (kubectl wait --for=condition=ExitReady)", host)
	}
	return fmt.Sprintf("write a ServiceEntry for %s whose author's namespace leaves by egress gateway %q", host, of.gw.Name)
}

// unknown says why a sidecar knows nothing of what is called, and what becomes of that.
func (p *proxy) unknown(call Call) (why, change string) {
	why, change = p.unmatched(call)
	if p.closed {
		return why + ", and the mesh drops such calls", change
	}
	return why + ", and the mesh lets such calls leave straight", change + "; config.unregistered: Block, or the mesh's REGISTRY_ONLY, keeps such calls from leaving straight"
}

func (p *proxy) unmatched(call Call) (why, change string) {
	host := p.names(call.Host)
	write := fmt.Sprintf("write a ServiceEntry for %s with port %d in namespace %s", host, call.Port, p.namespace)
	if egress.IsIP(host) {
		write = fmt.Sprintf("write a ServiceEntry of a host name with port %d in namespace %s, resolution STATIC, and %s in spec.addresses and spec.endpoints", call.Port, p.namespace, host)
	}
	var hidden, unported, unimported []*egress.Entry
	for _, name := range egress.Patterns(host) {
		for _, one := range p.services[name] {
			switch _, has := one.port(call.Port); {
			case p.ours(one):
			case p.sees(one.ExportTo, one.Namespace) == 0:
				hidden = append(hidden, one.Entry)
			case !p.imports(one.Namespace, []string{name}):
				unimported = append(unimported, one.Entry)
			case !has:
				unported = append(unported, one.Entry)
			}
		}
	}
	switch {
	case len(unimported) > 0:
		return fmt.Sprintf("Sidecar %s/%s does not import %s", p.scope.GetNamespace(), p.scope.GetName(), owners(unimported)), "import it in the Sidecar's spec.egress[].hosts"
	case len(unported) > 0:
		return fmt.Sprintf("%s has no port %d", owners(unported), call.Port), fmt.Sprintf("write port %d into it, or into a ServiceEntry in namespace %s", call.Port, p.namespace)
	case len(hidden) > 0:
		return fmt.Sprintf("%s is not exported to %s", owners(hidden), p.namespace), write + ", or ask its owners to export theirs to it"
	}
	for _, name := range egress.Patterns(host) {
		if known := p.known(name, false); len(known) > 0 {
			if port, has := known[0].port(call.Port); has {
				return fmt.Sprintf("port %d of %s is %s in %s %s/%s, which is not what is called", call.Port, name, port.Protocol, known[0].kind, known[0].Namespace, known[0].Name),
					"call it by its protocol, or correct the protocol of the port"
			}
		}
	}
	return "no ServiceEntry names " + host, write
}

// ours says whether something is of an exit set, which no client sees.
func (p *proxy) ours(of *service) bool {
	return len(p.mesh.GatewaysIn(of.Namespace)) > 0 && slices.Equal(of.ExportTo, []string{"."})
}

// absent says why a sidecar knows no cluster that a route leads to.
func (p *proxy) absent(from lead) (why, change string) {
	why = fmt.Sprintf("%s leads to %s:%d, which the client's sidecar does not know", told(from.route), from.to.host, from.to.port)
	for _, one := range p.services[from.to.host] {
		if p.sees(one.ExportTo, one.Namespace) > 0 {
			return why, fmt.Sprintf("write port %d into %s %s/%s, or lead to a port that it has", from.to.port, one.kind, one.Namespace, one.Name)
		}
	}
	return why, fmt.Sprintf("write a ServiceEntry for %s that %s sees", from.to.host, p.namespace)
}

// straight says why calls by an entry leave past every gateway.
func (p *proxy) straight(from lead, of *service, _ egress.Port) (why, change string) {
	why = sentence(from.route, fmt.Sprintf("ServiceEntry %s/%s is sealed to no egress gateway", of.Namespace, of.Name))
	switch {
	case !of.External:
		return why + ": it is the mesh's own, at addresses that the platform team declared", "set its location to MESH_EXTERNAL"
	case p.view.GatewayOf(of.Namespace) == "":
		return why + ", since its namespace is not governed or leaves by none", "have the namespace governed, or write an entry in one that is"
	case !p.mesh.Carries():
		return why + ", since entries and routes are evaluated only", "set config.serviceEntries to Seal, or config.virtualServices to Inject"
	case p.mesh.ByRoutes():
		return why + ", and no route leads these calls to one", "write the routes of the host again, by a change or by kubectl apply --server-side, or remove what leads past the gateway"
	}
	return why + ": it was stored before the webhook was there, or past it", "change anything in it, or apply it by kubectl apply --server-side"
}

// notes are what is to be known of a caller.
func (p *proxy) notes(call Call) (out []string) {
	labels, known := p.Cluster.labels[call.Namespace]
	switch {
	case !known:
		out = append(out, fmt.Sprintf("Namespace %s is not known; it is taken to have no labels.", call.Namespace))
	case egress.Ambient(labels):
		out = append(out, fmt.Sprintf("Namespace %s is in ambient mode: of its pods, those with a sidecar go so, and the others by their waypoint.", call.Namespace))
	}
	if p.view.GatewayOf(call.Namespace) == "" {
		out = append(out, fmt.Sprintf("Namespace %s is not governed, or leaves by no egress gateway: nobody looks at what is stored in it.", call.Namespace))
	}
	return out
}
