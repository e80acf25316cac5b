package adopt

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/internal/manifest"
	"github.com/egress-governor/egress-governor/internal/registry"
)

// Crossing is how the proxies of one namespace call some hosts at their egress gateways while the entries and rules of another turn.
type Crossing struct {
	// Namespace is that of the proxies, Of that of the entries.
	Namespace, Of string
	Ports         []hop.Crossed
}

// Object is the EnvoyFilter of a crossing.
func (c Crossing) Object(mesh *egress.Mesh) *unstructured.Unstructured {
	return hop.Crossing(mesh, c.Namespace, c.Of, c.Ports)
}

// Name is that of the EnvoyFilter.
func (c Crossing) Name() string { return hop.CrossingName(c.Of) }

// Hosts returns the hosts of a crossing, with their ports.
func (c Crossing) Hosts() (out []string) {
	for _, port := range c.Ports {
		out = append(out, portOf(port.Host, port.Port.Number))
	}
	return out
}

// crossing is what crossings are found by.
type crossing struct {
	mesh *egress.Mesh
	view *registry.Registry
	// namespaces are all in which proxies may call, by name.
	namespaces []string
	// led are the routes that lead HTTP to a port of a host, by that.
	led map[string][]*egress.Seen
}

func newCrossing(mesh *egress.Mesh, view *registry.Registry, stored []manifest.Object) *crossing {
	out := &crossing{mesh: mesh, view: view, led: map[string][]*egress.Seen{}}
	for _, object := range stored {
		if object.GetKind() == "VirtualService" {
			out.route(object.Unstructured)
		}
		// What is in a gateway's namespace calls by the exits there.
		if object.GetKind() == "Namespace" && len(mesh.GatewaysIn(object.GetName())) == 0 {
			out.namespaces = append(out.namespaces, object.GetName())
		}
	}
	slices.Sort(out.namespaces)
	return out
}

// route takes in a VirtualService, as its author wrote it: what cannot be read is not adopted.
func (c *crossing) route(stored *unstructured.Unstructured) {
	vs, err := hop.RouteIntent(stored, c.mesh)
	if err != nil {
		return
	}
	by := &egress.Seen{Namespace: vs.GetNamespace(), Name: vs.GetName(), ExportTo: egress.ExportTo(vs)}
	for _, d := range egress.Destinations(vs) {
		if d.Section == "http" && d.Port() != 0 {
			to := portOf(c.mesh.Qualify(d.Host(), vs.GetNamespace()), d.Port())
			c.led[to] = append(c.led[to], by)
		}
	}
}

func portOf(host string, port uint32) string { return fmt.Sprintf("%s:%d", host, port) }

// turning is an entry that is sealed to a gateway, or was.
type turning struct {
	*egress.Entry
	gateway egress.Gateway
}

// turning returns an entry as the view knows it.
func (c *crossing) turning(entry *unstructured.Unstructured, gw egress.Gateway) turning {
	return turning{c.view.Named(entry.GetNamespace(), entry.GetName()), gw}
}

// of returns the crossings of entries of one namespace: of each namespace whose proxies call by them under a rule on which it hangs, too, what
// calls look like.
func (c *crossing) of(namespace string, entries []turning) (out []Crossing) {
	for _, from := range c.namespaces {
		next := Crossing{Namespace: from, Of: namespace}
		for _, entry := range entries {
			next.Ports = append(next.Ports, c.ports(from, entry)...)
		}
		if len(next.Ports) > 0 {
			out = append(out, next)
		}
	}
	return out
}

// ports returns those of an entry that the proxies of a namespace call so.
func (c *crossing) ports(from string, of turning) (out []hop.Crossed) {
	if of.Entry == nil || !egress.Exports(of.ExportTo, of.Namespace, from) {
		return nil
	}
	for _, host := range of.Hosts {
		rule := c.rule(from, of.Namespace, host)
		if !rule.HasPolicy() {
			continue
		}
		if serving := egress.Serving(c.view.Entries(host), from); serving == nil || serving.Namespace != of.Namespace {
			continue
		}
		ports := portsIn(of.Namespace, c.view.Entries(host))
		for _, port := range of.Ports {
			crossed := hop.Crossed{Gateway: of.gateway, Host: host, Port: port, Subsets: hop.SubsetsIn(rule)}
			if protocol, is := hop.CrossesAs(rule, host, port, ports, of.gateway); is && c.leads(from, host, port.Number) {
				crossed.Led, crossed.Port.Protocol = true, protocol
			}
			if crossed.Led || hop.Crosses(rule, host, port, of.gateway) {
				out = append(out, crossed)
			}
		}
	}
	return out
}

// portsIn returns those that a namespace has of a host, each of which may be in an entry of its own.
func portsIn(namespace string, entries []*egress.Entry) (out []egress.Port) {
	for _, entry := range entries {
		if entry.Namespace == namespace {
			out = append(out, entry.Ports...)
		}
	}
	return out
}

// leads says whether routes that the proxies of a namespace see lead HTTP to a port of a host.
func (c *crossing) leads(from, host string, port uint32) bool {
	return slices.ContainsFunc(c.led[portOf(host, port)], func(by *egress.Seen) bool { return egress.Exports(by.ExportTo, by.Namespace, from) })
}

// rule returns the rule under which the proxies of a namespace call a host that they find by another's entry: their own, or that one's.
func (c *crossing) rule(from, of, host string) *egress.Rule {
	if rule := c.view.Rule(from, host); rule != nil {
		return rule
	}
	rule := c.view.Rule(of, host)
	if rule == nil || !egress.Exports(rule.ExportTo, rule.Namespace, from) {
		return nil
	}
	return rule
}

// cross finds the crossings of a plan: of entries that are to be sealed, and of those that were when a rule of their hosts was not.
func (p *planner) cross() {
	all := newCrossing(p.mesh, p.view, p.stored)
	for i := range p.Namespaces {
		of := &p.Namespaces[i]
		gw, _ := p.mesh.GatewayByName(of.Gateway)
		rewritten := of.rewritten(p.mesh)
		var entries []turning
		for _, object := range of.Objects {
			switch at, sealed := hop.SealedBy(object.Unstructured, p.mesh); {
			case object.State == Seal, object.State == Held:
				entries = append(entries, all.turning(object.Unstructured, gw))
			case object.State == Sealed && sealed && slices.ContainsFunc(hostsOf(object.Unstructured), func(host string) bool { return rewritten[host] }):
				entries = append(entries, all.turning(object.Unstructured, at))
			}
		}
		of.Crossings = all.of(of.Name, entries)
	}
}

// rewritten are the hosts a rule of which is to be rewritten.
func (n Namespace) rewritten(mesh *egress.Mesh) map[string]bool {
	out := map[string]bool{}
	for _, of := range n.Objects {
		if of.State == Rewrite && of.GetKind() == "DestinationRule" {
			out[mesh.ReadRule(of.Unstructured).Host] = true
		}
	}
	return out
}

// View returns the index of what is stored.
func View(mesh *egress.Mesh, stored []manifest.Object) (*registry.Registry, error) {
	out := registry.New(mesh)
	for _, object := range stored {
		if err := out.Put(object.Unstructured); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Crossings returns those of what goes back, by the namespaces of the entries.
func Crossings(mesh *egress.Mesh, stored []manifest.Object, plan []Return) (out []Crossing, err error) {
	view, err := View(mesh, stored)
	if err != nil {
		return nil, err
	}
	all, entries := newCrossing(mesh, view, stored), map[string][]turning{}
	for _, of := range plan {
		if gw, sealed := hop.SealedBy(of.Unstructured, mesh); of.GetKind() == "ServiceEntry" && sealed {
			entries[of.GetNamespace()] = append(entries[of.GetNamespace()], all.turning(of.Unstructured, gw))
		}
	}
	for _, namespace := range Namespaces(plan) {
		out = append(out, all.of(namespace, entries[namespace])...)
	}
	return out, nil
}
