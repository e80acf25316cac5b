package trace

import (
	"cmp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// door is a Gateway object.
type door struct {
	namespace, name string
	selector        map[string]string
	servers         []server
}

// passthrough is the mode of a server whose tls says none.
const passthrough = "PASSTHROUGH"

type server struct {
	port     uint32
	protocol string
	mode     string
	hosts    []string
	// altNames are who is let in, nil for everybody.
	altNames []string
}

func (c *Cluster) addDoor(object *unstructured.Unstructured) {
	out := &door{namespace: object.GetNamespace(), name: object.GetName(), selector: labelsOf(object.Object, "spec", "selector")}
	for _, raw := range listOf(object.Object, "spec", "servers") {
		one := server{
			port: numberOf(raw, "port", "number"), protocol: strings.ToUpper(textOf(raw, "port", "protocol")),
			hosts: textsOf(raw, "hosts"), altNames: textsOf(raw, "tls", "subjectAltNames"),
		}
		if fieldsOf(raw, "tls") != nil {
			one.mode = cmp.Or(textOf(raw, "tls", "mode"), passthrough)
		}
		out.servers = append(out.servers, one)
	}
	c.doors = append(c.doors, out)
}

// arrival is a call as it comes to an egress gateway.
type arrival struct {
	call Call
	gw   egress.Gateway
	port uint32
	// asks is its Host header; mutual says that it comes by the mesh's own TLS, for sni.
	asks   string
	mutual bool
	sni    string
	// encryptedBy is the rule by which the client's proxy speaks TLS as the host takes it, nil for none.
	encryptedBy *Object
}

// router returns the proxy of a gateway's pods.
func (c *Cluster) router(gw egress.Gateway) *proxy {
	out := &proxy{Cluster: c, namespace: gw.Namespace(), labels: gw.Selector}
	for _, door := range c.doors {
		if egress.Selects(door.selector, gw.Selector) {
			out.doors = append(out.doors, door)
		}
	}
	return out
}

// takes returns where a gateway leads what comes to it; nothing for what it does not take.
func (p *proxy) takes(of arrival) (out []lead) {
	if of.encryptedBy != nil && of.call.Family == egress.FamilyHTTP {
		return nil // no server of HTTP ends TLS that is not the mesh's own
	}
	for _, door := range p.doors {
		for _, server := range door.servers {
			if server.port != of.port {
				continue
			}
			switch {
			case !of.mutual && of.call.Family == egress.FamilyHTTP && strings.HasPrefix(server.protocol, "HTTP") && server.mode == "",
				of.mutual && of.call.Family == egress.FamilyHTTP && server.protocol == "HTTPS" && server.mode == "ISTIO_MUTUAL":
				out = append(out, p.served(door, server, of)...)
			case !of.mutual && of.call.Family == egress.FamilyTLS && server.mode == passthrough:
				out = append(out, p.passed(door, server, of)...)
			case of.mutual && server.protocol == "TLS" && server.mode == "ISTIO_MUTUAL":
				// Whatever is said within, HTTP that a route led to such a port as well.
				out = append(out, p.opened(door, server, of)...)
			}
		}
	}
	return out
}

// bound returns the routes for exactly a host that a server of a Gateway object lets be bound to it.
func (p *proxy) bound(to *door, at server, host string) (out []*routes) {
	for _, one := range p.routes {
		if !slices.Contains(one.gateways, to.namespace+"/"+to.name) || !slices.Contains(one.hosts, host) || p.sees(one.exportTo, one.object.Namespace) == 0 {
			continue
		}
		if slices.ContainsFunc(at.hosts, func(allowed string) bool {
			namespace, name, both := strings.Cut(allowed, "/")
			if !both {
				namespace, name = "*", allowed
			}
			of := namespace == "*" || namespace == one.object.Namespace || namespace == "." && to.namespace == one.object.Namespace
			return of && (egress.Covers(egress.Canonical(name), host) || egress.Covers(host, egress.Canonical(name)))
		}) {
			out = append(out, one)
		}
	}
	return out
}

// served leads by the Host header. The routes of a host are all of its objects', and those that take all come last.
func (p *proxy) served(by *door, at server, of arrival) []lead {
	asked := asking{port: at.port, gateway: by.namespace + "/" + by.name, authority: of.asks, path: of.call.Path, identity: p.identity(of)}
	for _, name := range egress.Patterns(hostOf(of.asks)) {
		var all []*route
		for _, one := range p.bound(by, at, name) {
			all = append(all, p.applicable(one.http, asked)...)
		}
		if len(all) == 0 {
			continue
		}
		slices.SortStableFunc(all, func(a, b *route) int { return last(a.takesAll()) - last(b.takesAll()) })
		return p.follow(all, asked)
	}
	return nil
}

func (r *route) takesAll() bool {
	return slices.ContainsFunc(r.blocks, func(block []fields) bool {
		when, may := asking{}.meets(block)
		return may && len(when) == 0 && !slices.ContainsFunc(block, func(one fields) bool { return one["authority"] != nil })
	})
}

func (p *proxy) identity(of arrival) string {
	if !of.mutual {
		return ""
	}
	return p.mesh.Identity(of.call.Namespace, of.call.ServiceAccount)
}

// passed leads by the SNI of the app.
func (p *proxy) passed(by *door, at server, of arrival) (out []lead) {
	best, asked := -1, asking{port: at.port, gateway: by.namespace + "/" + by.name}
	for _, name := range egress.Patterns(of.call.Host) {
		for _, one := range p.bound(by, at, name) {
			for _, route := range one.tls {
				for _, block := range route.blocks {
					if fit := closest(block, of.call.Host); fit > best && p.applies(block, asked, false) {
						best, out = fit, p.ofStream(route, at.port)
					}
				}
			}
		}
	}
	return out
}

// opened leads by the SNI of the mesh's own TLS, whoever is let in.
func (p *proxy) opened(by *door, at server, of arrival) (out []lead) {
	if len(at.altNames) > 0 && !slices.Contains(at.altNames, p.identity(of)) {
		return nil
	}
	asked := asking{port: at.port, gateway: by.namespace + "/" + by.name}
	for _, name := range egress.Patterns(of.sni) {
		for _, one := range p.bound(by, at, name) {
			for _, route := range one.tcp {
				if slices.ContainsFunc(route.blocks, func(block []fields) bool { return p.applies(block, asked, false) }) {
					return p.ofStream(route, at.port)
				}
			}
		}
	}
	return out
}
