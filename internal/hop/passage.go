package hop

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// An entry and the client rule beside it are two writes. While a host goes over to mutual TLS, or from it, no rule stands, and
// proxies call the gateway under the SNI that they use by themselves. A passage has the host's doors take that as well: Istio's
// Gateway takes no name with an underscore, so it is an EnvoyFilter, and each costs istiod something, so it goes again.

// PassageName returns the name of the passage of a host at an egress gateway.
func PassageName(gw egress.Gateway, host string) string {
	return exitName(host, gw.Name+"/passage/"+host)
}

// Passages returns what has the doors of a host take the SNI that proxies use by themselves, at each egress gateway of the namespace
// that the host's calls come to by mutual TLS and that a choice takes. Who is let in is said by the doors, as ever.
func Passages(mesh *egress.Mesh, exit *egress.Exit, view egress.View, namespace, host string, at func(egress.Leg) bool) (out []Object) {
	if exit == nil {
		return nil
	}
	for _, gw := range servingGateways(mesh, exit, namespace) {
		if gw.Transport != egress.MutualTLS || !at(gw.Leg()) {
			continue
		}
		var doors []any
		subsets := subsetsOf(exit, view, host)
		for _, port := range exit.By(gw.Leg()).Ports {
			if egress.FamilyOf(port.Protocol) != egress.FamilyHTTP {
				doors = append(doors, alsoNamed(host, port.Number, subsets))
			}
		}
		if len(doors) > 0 {
			out = append(out, patches(gw, PassageName(gw, host), host, doors...))
		}
	}
	return out
}

// Passing says whether a namespace's entries of a host go over to mutual TLS, or from it: no client rule of the host is to stand there.
// Where a wildcard of the namespace's own has a policy, that would be in force in its place, and it stands.
func Passing(view egress.View, namespace, host string) bool {
	if rule := view.Rule(namespace, host); rule.HasPolicy() && rule.Host != host {
		return false
	}
	return slices.ContainsFunc(view.Entries(host), func(entry *egress.Entry) bool { return entry.Namespace == namespace && entry.Passing })
}

// alsoNamed has the door of a port take what proxies call it by themselves.
func alsoNamed(host string, port uint32, subsets []string) any {
	names := make([]any, len(subsets))
	for i, subset := range subsets {
		names[i] = proxySNI(host, port, subset)
	}
	return patch("FILTER_CHAIN", fields{"context": "GATEWAY", "listener": fields{"filterChain": fields{"sni": portSNI(host, port)}}},
		"MERGE", fields{"filter_chain_match": fields{"server_names": names}})
}

// proxySNI is the SNI that proxies use by themselves. Envoy takes a `*` at the beginning of a name alone, where it stands for any labels: what
// is left of a wildcard's is no other host's all the same, since no other has a label "*".
func proxySNI(host string, port uint32, subset string) string {
	first := "outbound_."
	if egress.IsWildcard(host) {
		first = "*."
	}
	return fmt.Sprintf("%s%d_.%s_.%s", first, port, subset, host)
}

// Whoever calls by entries that pass has a door named by no more subsets than these: each is a name that a gateway compares.
const (
	subsetsOfNamespace = 16
	subsetsOfHost      = 256
)

// subsetsOf returns the subsets of a host that routes may name by which calls come under entries that pass, the first of them none: those of
// the entries' own namespaces, and of others that have a rule of the host and call it by such an entry.
func subsetsOf(exit *egress.Exit, view egress.View, host string) []string {
	var namespaces []string
	for _, member := range exit.Members {
		if member.Passing && !slices.Contains(namespaces, member.Namespace) {
			namespaces = append(namespaces, member.Namespace)
		}
	}
	own, entries := len(namespaces), view.Entries(host)
	for _, namespace := range view.Ruled(host) {
		serving := egress.Serving(entries, namespace)
		if serving != nil && slices.Contains(namespaces[:own], serving.Namespace) && !slices.Contains(namespaces[:own], namespace) {
			namespaces = append(namespaces, namespace)
		}
	}
	out := []string{""}
	for _, namespace := range namespaces {
		for _, name := range subsetNames(view.Rule(namespace, host)) {
			if len(out) < subsetsOfHost && !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	slices.Sort(out)
	return out
}

// subsetNames returns the subsets that a rule names, as Envoy compares them: in lower case. What is no label must not stand where all of a
// gateway's doors do.
func subsetNames(rule *egress.Rule) (out []string) {
	if rule == nil {
		return nil
	}
	for _, name := range SubsetsIn(rule) {
		name = strings.ToLower(name)
		if len(out) < subsetsOfNamespace && len(validation.IsDNS1123Label(name)) == 0 && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}
