package trace

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// tlsMode is the label of endpoints to which proxies speak the mesh's own TLS unasked.
const tlsMode = "security.istio.io/tlsMode"

// onward follows a lead of a client's sidecar to where it ends.
func (p *proxy) onward(call Call, from lead) []Way {
	out := Way{Ends: Blocked, When: from.when, Copy: from.copy, Route: from.route, rest: from.rest}
	switch {
	case from.answers != "":
		out.Why = "the client's own proxy does not lead them on: " + from.answers
		return []Way{out}
	case from.nobody:
		return []Way{p.unregistered(call, out)}
	}
	if gw, is := p.mesh.GatewayByService(from.to.host); is {
		return p.toGateway(call, from, out, gw, from.to.port, nil)
	}
	if from.raw && from.route == nil && from.to.host != p.names(call.Host) {
		ways := p.byEntry(call, from, out)
		for i := range ways {
			ways[i].Why = fmt.Sprintf("%s is raw TCP at port %d without an address of its own, so a sidecar takes every call to the port for it: %s", from.to.host, call.Port, ways[i].Why)
		}
		return ways
	}
	return p.byEntry(call, from, out)
}

// byEntry follows a lead to what answers to its host.
func (p *proxy) byEntry(call Call, from lead, out Way) []Way {
	service, port := p.serving(from.to.host, from.to.port, true)
	if service == nil {
		out.Why, out.Change = p.absent(from)
		return []Way{out}
	}
	out.Entry = service.object()
	if service.alias != "" {
		service, port = p.aliased(&from.to)
		if service == nil {
			out.Why = sentence(from.route, fmt.Sprintf("%s is another name of %s, which no ServiceEntry that %s sees has at port %d", told(out.Entry), from.to.host, p.namespace, from.to.port))
			out.Change = fmt.Sprintf("write a ServiceEntry for %s with port %d in namespace %s, and call it by this name", from.to.host, from.to.port, p.namespace)
			return []Way{out}
		}
		out.Entry = service.object()
	}
	if _, has := p.tls(from.to, service); !has {
		out.Why = fmt.Sprintf("%s leads to subset %q of %s, which no DestinationRule that %s goes by has", told(from.route), from.to.subset, from.to.host, p.namespace)
		out.Change = "write the subset into a DestinationRule of the host in the namespace, or leave it out of the route"
		return []Way{out}
	}
	if service.kind == "Service" {
		return []Way{p.inMesh(from, out)}
	}
	if rule := p.leavesNone(from.to, service); rule != nil {
		out.Why = fmt.Sprintf("%s leads to subset %q of %s, which by the labels in DestinationRule %s/%s has none of the endpoints of %s",
			told(from.route), from.to.subset, from.to.host, rule.GetNamespace(), rule.GetName(), told(out.Entry))
		out.Change = "leave the subset out of the route, and give each subset a host of its own"
		return []Way{out}
	}
	out.Ready = p.ready[service.Namespace+"/"+service.Name]
	to := service.at(port, from.to.host)
	if gw, number, is := p.sealed(service, to); is {
		return p.toGateway(call, from, out, gw, number, service)
	}
	return []Way{p.past(call, from, out, service, port, to)}
}

// at returns where the calls of a port of a host go, as host:port, each once.
func (s *service) at(port egress.Port, host string) (out []string) {
	number := cmp.Or(port.TargetPort, port.Number)
	for _, endpoint := range s.endpoints {
		out = append(out, net.JoinHostPort(egress.Canonical(endpoint.Address), strconv.FormatUint(uint64(cmp.Or(endpoint.Ports[port.Name], number)), 10)))
	}
	if len(s.endpoints) == 0 && s.Resolution != "STATIC" && !s.workloads {
		out = append(out, net.JoinHostPort(host, strconv.FormatUint(uint64(number), 10)))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// sealed returns the gateway that all endpoints of an entry are, and the port of its Service.
func (p *proxy) sealed(of *service, to []string) (gw egress.Gateway, port uint32, is bool) {
	if len(to) != 1 || of.Resolution == "NONE" || of.Resolution == "" || len(of.endpoints) == 0 {
		return gw, 0, false
	}
	host, number, err := net.SplitHostPort(to[0])
	if err != nil {
		return gw, 0, false
	}
	gw, is = p.mesh.GatewayByService(host)
	parsed, _ := strconv.ParseUint(number, 10, 16) // it was made of one
	return gw, uint32(parsed), is
}

// toGateway has a call come to an egress gateway, by an entry or by a route to the gateway's Service itself.
func (p *proxy) toGateway(call Call, from lead, out Way, gw egress.Gateway, port uint32, by *service) []Way {
	arrived := arrival{call: call, gw: gw, port: port, asks: from.asks, encryptedBy: p.encryptedBy(from.to, by)}
	if from.raw {
		arrived.call.Family, arrived.call.Host = egress.FamilyTCP, from.to.host
	}
	settings, _ := p.tls(from.to, by)
	mode := textOf(settings, "mode")
	unasked := by != nil && !slices.ContainsFunc(by.endpoints, func(endpoint egress.Endpoint) bool { return endpoint.Labels[tlsMode] != "istio" })
	if mode == "ISTIO_MUTUAL" || mode == "" && unasked {
		arrived.mutual = true
		arrived.sni = cmp.Or(textOf(settings, "sni"), fmt.Sprintf("outbound_.%d_.%s_.%s", from.to.port, from.to.subset, from.to.host))
	}
	out.Gateway = gw.Name
	router := p.router(gw)
	var ways []Way
	for _, lead := range router.takes(arrived) {
		ways = append(ways, router.out(arrived, lead, out, p, from, by))
	}
	if len(ways) == 0 {
		out.Why, out.Change = p.notTaken(arrived, from, by)
		ways = append(ways, out)
	}
	return ways
}

// out is where a gateway leads a call.
func (p *proxy) out(of arrival, to lead, way Way, client *proxy, from lead, by *service) Way {
	way.Exit = to.route
	way.When = slices.Concat(way.When, to.when)
	way.rest = way.rest || to.rest
	service, port := p.serving(to.to.host, to.to.port, true)
	switch {
	case to.answers != "":
		way.Why, way.Change = client.turnedAway(of, from, by, to.answers)
		return way
	case service == nil:
		way.Why = fmt.Sprintf("egress gateway %q has routes for %s:%d and no exit of it", of.gw.Name, to.to.host, to.to.port)
		way.Change = client.noExit(of, from)
		return way
	}
	way.To = service.at(port, to.to.host)
	if egress.IsWildcard(to.to.host) && slices.Equal(addresses(service), []string{"unused.invalid"}) {
		way.To = []string{net.JoinHostPort(asked(of), strconv.FormatUint(uint64(port.Number), 10))}
	}
	settings, has := p.tls(to.to, service)
	if !has || len(way.To) == 0 {
		way.To = nil
		way.Why, way.Change = fmt.Sprintf("egress gateway %q knows no endpoint of %s:%d", of.gw.Name, to.to.host, to.to.port), client.noExit(of, from)
		return way
	}
	mode := textOf(settings, "mode")
	way.Ends, way.Encrypted = AtGateway, mode == "SIMPLE" || mode == "MUTUAL"
	way.Why, way.Admits = client.taken(of, from, by, to), client.admits(of, to.to)
	return way
}

func addresses(of *service) (out []string) {
	for _, endpoint := range of.endpoints {
		out = append(out, egress.Canonical(endpoint.Address))
	}
	return out
}

// asked is the host that a call asks a gateway for.
func asked(of arrival) string {
	if of.call.Family == egress.FamilyHTTP {
		return hostOf(of.asks)
	}
	return of.call.Host
}

// aliased returns what a Service stands for that is another name of a host, nil for nothing, and takes the destination there. Names
// of names are few, and may go round.
func (p *proxy) aliased(to *cluster) (of *service, port egress.Port) {
	for range 8 {
		if of, port = p.serving(to.host, to.port, true); of == nil || of.alias == "" {
			return of, port
		}
		to.host = of.alias
	}
	return nil, port
}

func (p *proxy) inMesh(from lead, out Way) Way {
	out.Ends, out.To = InMesh, []string{fmt.Sprintf("%s:%d", from.to.host, from.to.port)}
	out.Why = sentence(from.route, out.To[0]+" is a Service of the mesh")
	return out
}

// past is a way to an entry that is not sealed to a gateway.
func (p *proxy) past(call Call, from lead, out Way, of *service, port egress.Port, to []string) Way {
	named := told(out.Entry)
	if len(to) == 0 && (of.Resolution == "STATIC" || of.workloads) {
		out.Why, out.Change = named+" has no endpoints", "give it endpoints"
		return out
	}
	inMesh := func(address string) bool {
		host, _, err := net.SplitHostPort(address)
		return err == nil && strings.HasSuffix(host, ".svc."+p.mesh.ClusterDomain)
	}
	out.To = to
	if !slices.ContainsFunc(to, func(address string) bool { return !inMesh(address) }) {
		out.Ends, out.Why = InMesh, sentence(from.route, named+" leads to Services of the mesh")
		return out
	}
	out.Ends = Straight
	if len(of.endpoints) == 0 && egress.IsWildcard(from.to.host) {
		out.To = []string{fmt.Sprintf("%s:%d", call.Host, from.to.port)}
	}
	if settings, _ := p.tls(from.to, of); settings != nil {
		mode := textOf(settings, "mode")
		out.Encrypted = mode == "SIMPLE" || mode == "MUTUAL"
	}
	out.Why, out.Change = p.straight(from, of, port)
	return out
}

// unregistered is a call that no entry and no route of the client's names.
func (p *proxy) unregistered(call Call, out Way) Way {
	out.Why, out.Change = p.unknown(call)
	if p.closed {
		return out
	}
	out.Ends, out.To = Straight, []string{fmt.Sprintf("%s:%d", call.Host, call.Port)}
	return out
}
