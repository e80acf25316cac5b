package review

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// What a rule says of a host that an egress gateway calls, to the author of the rule and, where that was there before, of the entry.

// calledBy returns the entries by which the namespace calls a host: the one that serves it, nil for none, and its own.
func (s *subject) calledBy(host string, serving *egress.Entry) (out []*egress.Entry) {
	for _, entry := range s.View.Entries(host) {
		if entry == serving || entry.Namespace == s.Namespace.Name {
			out = append(out, entry)
		}
	}
	return out
}

// beside are those of a host of the subject, which is an entry, but for itself.
func (s *subject) beside(host string) []*egress.Entry {
	return slices.DeleteFunc(s.calledBy(host, nil), s.is)
}

func portsOf(entries []*egress.Entry) (out []egress.Port) {
	for _, entry := range entries {
		out = append(out, entry.Ports...)
	}
	return out
}

// onGateway tells what a gateway has of a rule, and where it looks for a certificate. Nothing is said of settings that none of its ports is
// under.
func onGateway(rule *egress.Rule, at string, gw egress.Gateway, entries []*egress.Entry, mutual bool) (out []string) {
	ports := portsOf(entries)
	http := len(egress.PortsOf(ports, egress.FamilyHTTP)) > 0
	under := func(port egress.Port) bool {
		// A route may lead HTTP calls to a TLS port.
		return rule.Beyond(port.Number) != nil || rule.TLS(port.Number) != nil && (http || egress.FamilyOf(port.Protocol) != egress.FamilyTLS)
	}
	if len(ports) > 0 && !slices.ContainsFunc(ports, under) {
		return nil
	}
	how := "as the app speaks"
	if mutual {
		how = "by the mesh's mutual TLS"
	}
	out = append(out, at+"the egress gateway calls the host under these settings; clients call the gateway "+how)
	for _, name := range hop.Credentials(rule) {
		out = append(out, fmt.Sprintf("%sthe egress gateway takes the certificate from Secret %s/%s; until it is there, calls fail",
			at, gw.Namespace(), egress.Credential(rule.Namespace, name)))
	}
	return out
}

// underRule tells the author of an entry what its gateway has of rules that were there before.
func underRule(s *subject, intent *egress.ServiceEntry, sealed egress.Gateway) (out []string) {
	for i, written := range intent.Hosts {
		host, at := egress.Canonical(written), field.NewPath("spec", "hosts").Index(i)
		rule := s.View.Rule(s.Namespace.Name, host)
		if rule == nil {
			continue
		}
		entries := append(s.beside(host), s.listens(intent))
		of := fmt.Sprintf("%s: DestinationRule %s/%s: ", at, rule.Namespace, rule.Name)
		if rule.InForce {
			out = append(out, onGateway(rule, of, sealed, entries, sealed.Transport == egress.MutualTLS)...)
		}
		for _, port := range rule.OwnTLS(intent.Ports) {
			out = append(out, of+ownTLS(host, port))
		}
	}
	return out
}

// underOwnTLS tells the author of a rule of ports that apps speak TLS to themselves.
func underOwnTLS(s *subject, rule *egress.Rule) []string {
	return ofGoverned(s, rule, func(host string, serving *egress.Entry) (out []string) {
		if serving.Led {
			return nil
		}
		told := map[uint32]bool{}
		for _, port := range rule.OwnTLS(portsOf(s.calledBy(host, serving))) {
			if !told[port.Number] {
				out = append(out, fmt.Sprintf("%s: %s", settingPath(rule, port.Number).Child("tls"), ownTLS(host, port)))
			}
			told[port.Number] = true
		}
		return out
	})
}

// unencrypted tells the author of a rule of HTTP calls that stored routes of the namespace lead to TLS ports for which it sets no tls, nor the
// rule of anybody who shares the exit.
func unencrypted(s *subject, rule *egress.Rule) []string {
	return ofGoverned(s, rule, func(host string, serving *egress.Entry) (out []string) {
		gw, _ := s.Mesh.GatewayByName(serving.Gateway)
		others := s.View.Exit(host, gw.Namespace()).WithoutNamespace(rule.Namespace)
		for _, port := range serving.Ports {
			if egress.FamilyOf(port.Protocol) != egress.FamilyTLS || !s.readsHTTP(host, serving) || rule.TLS(port.Number) != nil || others != nil && others.Definition.TLS[port.Number] != nil {
				continue
			}
			if by := s.seen(egress.Mapping{Host: host, Port: port.Number, Needs: egress.NeedsRule}); by != nil {
				out = append(out, fmt.Sprintf("%s: %s leads HTTP calls to port %d of %s, which takes TLS, %s; set tls for port %d, or take that route out",
					settingPath(rule, port.Number), by, port.Number, host, answered, port.Number))
			}
		}
		return out
	})
}

// answered is what becomes of HTTP calls that are led to a TLS port without tls.
const answered = "and no DestinationRule sets tls for it: the egress gateway answers 503"

// unencryptedRoutes tells the author of the routes the same.
func unencryptedRoutes(s *subject) (out []string) {
	for _, route := range hop.Unencrypted(s.resolved(s.intent)) {
		if !s.readsHTTP(route.Canonical, route.Serving) {
			continue
		}
		out = append(out, fmt.Sprintf("%s: port %d of %s takes TLS, %s; set tls for port %d in a DestinationRule", route.Path.Child("port", "number"), route.Port(), route.Host(), answered, route.Port()))
	}
	return out
}

// readsHTTP says whether the namespace calls a host by a port of HTTP, too: sidecars read none of what comes to any other, and no call is led.
func (s *subject) readsHTTP(host string, serving *egress.Entry) bool {
	return len(egress.PortsOf(s.portsOf(host, serving, nil), egress.FamilyHTTP)) > 0
}

func ownTLS(host string, port egress.Port) string {
	return fmt.Sprintf("port %d of %s is %s, which apps speak themselves, and the egress gateway passes their calls on as they are: tls is applied to HTTP calls alone that a route leads to the port; "+
		"if apps call it in clear, declare protocol HTTP for it, and if they speak TLS to it, remove tls", port.Number, host, port.Protocol)
}

// leaking returns a port of an entry whose calls would leave in clear where apps make them so, though a rule says how they are encrypted;
// false for none. Within the mesh's mutual TLS the gateway takes whatever comes to an address, and passes it on. Where the host has HTTP
// ports, the rule is for calls that are led from there.
func (s *subject) leaking(rule *egress.Rule, host string, entry *egress.Entry, beside []*egress.Entry) (egress.Port, bool) {
	own := rule.OwnTLS(entry.Ports)
	http := egress.PortsOf(slices.Concat(entry.Ports, portsOf(beside)), egress.FamilyHTTP)
	if entry.Gateway == "" || entry.Led || entry.Transport != egress.MutualTLS || len(own) == 0 || len(http) > 0 || !entry.ByAddress(host, s.View.DNSCapture()) {
		return egress.Port{}, false
	}
	return own[0], true
}

const codeOwnTLS = "own-tls"

func inClearMessage(host string, port egress.Port) string {
	return fmt.Sprintf("port %d of %s is %s, which apps speak themselves, and the egress gateway passes on what they say: a call that an app makes in clear would leave in clear, and not encrypted as the rule has it",
		port.Number, host, port.Protocol)
}

// inClear refuses a rule that would encrypt what leaves in clear.
func inClear(s *subject, rule *egress.Rule, serving *egress.Entry) hop.Refusals {
	entries := s.calledBy(rule.Host, serving)
	for _, entry := range entries {
		if port, leaks := s.leaking(rule, rule.Host, entry, entries); leaks {
			return hop.Refusals{{
				Code: codeOwnTLS, Field: settingPath(rule, port.Number).Child("tls").String(), Message: inClearMessage(rule.Host, port),
				Fix: fmt.Sprintf("if apps call the port in clear, first declare protocol HTTP for it in ServiceEntry %s/%s; if they speak TLS to it, remove tls", entry.Namespace, entry.Name),
			}}
		}
	}
	return nil
}

// leavesInClear refuses an entry whose calls leave in clear that a rule would encrypt.
func leavesInClear(s *subject, intent *egress.ServiceEntry, rule *egress.Rule, host string) hop.Refusals {
	beside := s.beside(host)
	port, leaks := s.leaking(rule, host, s.listens(intent), beside)
	if !leaks {
		return nil
	}
	if before, _ := s.listenedBefore(); before != nil && s.restated() {
		if _, leaked := s.leaking(rule, host, before, beside); leaked {
			return nil // the controller moves it, and it is no worse at the next gateway
		}
	}
	i := slices.IndexFunc(intent.Ports, func(other egress.Port) bool { return other.Number == port.Number })
	return hop.Refusals{{
		Code: codeOwnTLS, Field: field.NewPath("spec", "ports").Index(i).Child("protocol").String(), Message: inClearMessage(host, port),
		Fix: fmt.Sprintf("declare protocol HTTP if apps call the port in clear; if they speak TLS to it, first remove tls from DestinationRule %s/%s", rule.Namespace, rule.Name),
	}}
}
