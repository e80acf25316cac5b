package trace

import (
	"fmt"
	"slices"
	"strings"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// lead is where a proxy leads a call.
type lead struct {
	to cluster
	// answers is how the proxy answers by itself, empty where it does not. Nobody says that no entry names what is called.
	answers string
	nobody  bool
	// asks is the Host header onward.
	asks  string
	when  []string
	copy  bool
	rest  bool
	route *Object
	// raw says that the proxy looks at nothing but address and port.
	raw bool
}

// leads returns everywhere that a sidecar leads a call.
func (p *proxy) leads(call Call) []lead {
	host := p.names(call.Host)
	var out []lead
	switch call.Family {
	case egress.FamilyHTTP:
		out = p.http(call, host)
	case egress.FamilyTLS:
		out = p.tlsLeads(call)
	}
	if out == nil {
		out = p.raw(call, p.caught(call, host))
	}
	if out == nil {
		out = []lead{{nobody: true}}
	}
	return out
}

// http goes by the virtual host that is closest to the host that is asked for.
func (p *proxy) http(call Call, host string) []lead {
	of := asking{port: call.Port, gateway: mesh, authority: call.authority(), path: call.Path}
	for _, name := range egress.Patterns(host) {
		if found, is := p.virtualHost(name, of); is {
			if found == nil {
				return []lead{{to: cluster{host: name, port: call.Port}, asks: of.authority}}
			}
			return p.follow(found, of)
		}
	}
	return nil
}

// virtualHost returns the routes of a name of exactly this spelling; none where it leads to itself.
func (p *proxy) virtualHost(name string, of asking) (found []*route, is bool) {
	service, port := p.serving(name, of.port, false)
	served := service != nil && port.ToldBy() == egress.FamilyHTTP || service != nil && service.kind == "Service" && egress.FamilyOf(port.Protocol) == egress.FamilyNone
	exact := p.naming(name)
	for _, one := range exact {
		if routes := p.applicable(one.http, of); len(routes) > 0 && (served || service == nil && p.opens(one, of.port)) && !p.below(name) {
			return routes, true
		}
	}
	if !served {
		return nil, false
	}
	if len(exact) > 0 {
		return nil, true
	}
	// Calls of another name are among those of the host that it stands for.
	if to := (cluster{host: name, port: of.port}); service.alias != "" {
		if led, _ := p.aliased(&to); led != nil {
			return p.virtualHost(to.host, of)
		}
	}
	for _, wildcard := range egress.Patterns(name)[1:] {
		if by := p.naming(wildcard); len(by) > 0 {
			return p.applicable(by[0].http, of), true
		}
	}
	return nil, true
}

// opens says whether routes have a virtual host on a port for a host of theirs that nobody has a port of: as others of their hosts
// have it, or on port 80 where none does.
func (p *proxy) opens(of *routes, port uint32) bool {
	return port == 80 || slices.ContainsFunc(of.hosts, func(host string) bool {
		service, _ := p.serving(host, port, false)
		return service != nil
	})
}

// below says whether a name is a wildcard that stands for hosts which the proxy knows: these have its routes then, and not it.
func (p *proxy) below(name string) bool {
	if !egress.IsWildcard(name) || len(p.known(name, false)) > 0 {
		return false
	}
	for host := range p.services {
		if egress.Covers(name, host) && len(p.known(host, false)) > 0 {
			return true
		}
	}
	return false
}

// follow returns where routes lead a call: each that it may meet, up to the first that takes all.
func (p *proxy) follow(all []*route, of asking) (out []lead) {
	taken := false
	for _, one := range all {
		may, sure, when := false, false, []string(nil)
		for _, block := range one.blocks {
			conditions, met := of.meets(block)
			may, sure = may || met, sure || met && len(conditions) == 0
			if met && len(conditions) > 0 {
				when = append(when, strings.Join(conditions, " and "))
			}
		}
		if !may || taken {
			continue
		}
		if taken = sure; sure {
			when = nil
		} else {
			when = []string{strings.Join(when, ", or ")}
		}
		out = append(out, p.ofRoute(one, of, when)...)
	}
	if !taken {
		out = append(out, lead{answers: "no route takes them, and it answers 404", rest: len(out) > 0, when: others(out)})
	}
	return out
}

func others(of []lead) []string {
	if len(of) == 0 {
		return nil
	}
	return []string{"all others"}
}

func (p *proxy) ofRoute(of *route, asked asking, when []string) (out []lead) {
	switch {
	case of.raw["redirect"] != nil:
		redirect := fieldsOf(of.raw, "redirect")
		return []lead{{answers: fmt.Sprintf("it answers with a redirect to %s%s", textOf(redirect, "authority"), textOf(redirect, "uri")), when: when, route: of.place(of.field + ".redirect")}}
	case of.raw["directResponse"] != nil:
		response := fieldsOf(of.raw, "directResponse")
		answer := fmt.Sprintf("it answers %d", numberOf(response, "status"))
		if body := strings.TrimSpace(textOf(response, "body", "string")); body != "" {
			answer += ": " + body
		}
		return []lead{{answers: answer, when: when, route: of.place(of.field + ".directResponse")}}
	}
	led, copied := of.destinations()
	total := uint32(0)
	for _, d := range led {
		total += numberOf(d.Holder, "weight")
	}
	for _, d := range append(led, copied...) {
		next := lead{to: p.destination(of, d, asked.port), asks: asks(of.raw, d, asked.authority), copy: d.Mirror, route: of.at(d), when: slices.Clone(when)}
		if weight := numberOf(d.Holder, "weight"); !d.Mirror && len(led) > 1 && total > 0 {
			next.when = append(next.when, fmt.Sprintf("%d of %d calls", weight, total))
		}
		out = append(out, next)
	}
	if len(led) == 0 {
		out = append(out, lead{answers: "the route leads nowhere", when: when, route: of.place(of.field)})
	}
	return out
}

// destination is a cluster. Without a port it is at that of the call, or but for a sidecar's HTTP at the only one of its host.
func (p *proxy) destination(of *route, d egress.Destination, port uint32) cluster {
	out := cluster{host: p.mesh.Qualify(d.Host(), of.namespace), port: d.Port(), subset: textOf(d.Raw, "subset")}
	if out.port == 0 {
		out.port = port
		if known := p.known(out.host, true); (d.Section != "http" || p.doors != nil) && len(known) == 1 && len(known[0].Ports) == 1 {
			out.port = known[0].Ports[0].Number
		}
	}
	return out
}

// asks returns the Host header of calls that a route leads to a destination.
func asks(raw fields, d egress.Destination, authority string) string {
	out := authority
	if rewritten := textOf(raw, "rewrite", "authority"); rewritten != "" {
		out = rewritten
	}
	holders := []fields{raw}
	if !d.Mirror {
		holders = append(holders, d.Holder)
	}
	for _, holder := range holders {
		set := fieldsOf(holder, "headers", "request", "set")
		for _, name := range sorted(set) {
			if value, is := set[name].(string); is && egress.IsHostHeader(name) {
				out = value
			}
		}
	}
	return out
}

// hostOf returns the host of an authority.
func hostOf(authority string) string { return egress.Canonical(egress.HostOnly(authority)) }
