package trace

import (
	"slices"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// tlsLeads goes by the SNI that is closest to the one of the call, among those of routes and of hosts without any.
func (p *proxy) tlsLeads(call Call) (out []lead) {
	best, of := -1, asking{port: call.Port, gateway: mesh}
	for _, one := range p.seen() {
		if !p.tells(one, call.Port) {
			continue
		}
		for _, route := range one.tls {
			for _, block := range route.blocks {
				if fit := closest(block, call.Host); fit > best && p.applies(block, of, false) {
					best, out = fit, p.ofStream(route, call.Port)
				}
			}
		}
	}
	for _, name := range egress.Patterns(call.Host) {
		service, port := p.serving(name, call.Port, false)
		if service == nil || port.ToldBy() != egress.FamilyTLS || p.routed(name, of) || len(name) <= best {
			continue
		}
		return []lead{{to: cluster{host: name, port: call.Port}}}
	}
	return out
}

// tells says whether the proxy has TLS routes at a port: some host of theirs has it.
func (p *proxy) tells(of *routes, port uint32) bool {
	if len(of.tls) == 0 {
		return false
	}
	for _, host := range of.hosts {
		if service, found := p.serving(host, port, false); service != nil && found.ToldBy() == egress.FamilyTLS {
			return true
		}
		if !egress.IsWildcard(host) {
			continue
		}
		for below := range p.services {
			if !egress.Covers(host, below) {
				continue
			}
			if service, found := p.serving(below, port, false); service != nil && found.ToldBy() == egress.FamilyTLS {
				return true
			}
		}
	}
	return false
}

// routed says whether TLS routes take calls of a host's port, so that there is no way but theirs.
func (p *proxy) routed(name string, of asking) bool {
	for _, one := range p.seen() {
		if !slices.ContainsFunc(one.hosts, func(host string) bool { return egress.Covers(host, name) }) {
			continue
		}
		for _, route := range one.tls {
			if slices.ContainsFunc(route.blocks, func(block []fields) bool { return p.applies(block, of, false) }) {
				return true
			}
		}
	}
	return false
}

// closest says how closely the SNIs of a block fit a host, less than 0 where they do not.
func closest(block []fields, host string) int {
	out := -1
	for _, one := range block {
		for _, sni := range textsOf(one, "sniHosts") {
			if sni = egress.Canonical(sni); egress.Covers(sni, host) {
				out = max(out, len(sni))
			}
		}
	}
	return out
}

// raw goes by the host's own port: where a sidecar awaits its calls at an address, it leads on whatever comes there, to a port of TLS too.
func (p *proxy) raw(call Call, host string) (out []lead) {
	service, port := p.serving(host, call.Port, false)
	switch {
	case service == nil:
		return nil
	case port.ToldBy() == egress.FamilyTCP:
	case port.ToldBy() != egress.FamilyTLS || !p.atAddress(call, host, service):
		return nil
	}
	out = []lead{{to: cluster{host: host, port: call.Port}}}
	if route := p.streamOf(host, call.Port); route != nil {
		out = p.ofStream(route, call.Port)
	}
	for i := range out {
		out[i].raw = true
	}
	return out
}

// atAddress says whether a call comes to a listener of the host's own without an SNI by which it could be told from others.
func (p *proxy) atAddress(call Call, host string, of *service) bool {
	bySNI := call.Family == egress.FamilyTLS && !egress.IsIP(call.Host)
	return of.kind == "ServiceEntry" && of.ByAddress(host, p.view.DNSCapture()) && !bySNI && !p.routed(host, asking{port: call.Port, gateway: mesh})
}

// streamOf returns the first TCP route that takes calls of a port of a host, nil for none.
func (p *proxy) streamOf(host string, port uint32) *route {
	of := asking{port: port, gateway: mesh}
	for _, one := range p.seen() {
		if !slices.ContainsFunc(one.hosts, func(pattern string) bool { return egress.Covers(pattern, host) }) {
			continue
		}
		for _, route := range one.tcp {
			if slices.ContainsFunc(route.blocks, func(block []fields) bool { return p.applies(block, of, false) }) {
				return route
			}
		}
	}
	return nil
}

// caught returns the host that has the raw TCP which a host is called by: that itself where it has an address, or else the oldest that
// has none, whatever is called, since sidecars have nothing else to tell the port's calls by.
func (p *proxy) caught(call Call, host string) string {
	of, port := p.serving(host, call.Port, false)
	if of != nil && (port.ToldBy() != egress.FamilyTCP || !p.everywhere(host, of)) {
		return host
	}
	var first *service
	out := host
	for name := range p.services {
		of, port := p.serving(name, call.Port, false)
		switch {
		case of == nil:
		case port.ToldBy() == egress.FamilyHTTP && call.Family == egress.FamilyHTTP:
			// They are told apart by their Host header.
			return host
		case port.ToldBy() != egress.FamilyTCP || !p.everywhere(name, of):
		case first == nil || of.Older(first.Entry) < 0 || of == first && name < out:
			first, out = of, name
		}
	}
	return out
}

// everywhere says whether a sidecar listens for the raw TCP of a host at every address.
func (p *proxy) everywhere(host string, of *service) bool {
	return of.kind == "ServiceEntry" && !of.ByAddress(host, p.view.DNSCapture())
}

// ofStream returns where a TLS or TCP route leads.
func (p *proxy) ofStream(of *route, port uint32) []lead {
	return p.ofRoute(of, asking{port: port}, nil)
}
