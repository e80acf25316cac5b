package registry

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// Form returns what a stored object is to be stored as, by now. The error is that of one that cannot be rewritten.
type Form func(stored *unstructured.Unstructured) (*unstructured.Unstructured, error)

// ExitSet returns the objects that a namespace of egress gateways is to hold for a canonical host, or for the name of a
// pair. The error says why there can be none: somebody's rule in that namespace is applied to the host's calls, with or in
// the place of the exit's own, and what was to be encrypted might leave in clear.
func (r *Registry) ExitSet(namespace, host string) ([]hop.Object, error) {
	return r.ExitSetOf(r.Exit(r.Reached(host), namespace), namespace, host)
}

// ExitSetOf is ExitSet of an exit of the host that is reached, as somebody has read it.
func (r *Registry) ExitSetOf(exit *egress.Exit, namespace, host string) ([]hop.Object, error) {
	if egress.IsReserved(host) {
		pair, made := r.Pair(host)
		if !made {
			return nil, nil
		}
		return hop.PairSet(r.mesh, exit, r, namespace, pair), nil
	}
	if err := r.foreignRule(namespace, host, exit); err != nil {
		return nil, err
	}
	return hop.ExitSet(r.mesh, exit, r, namespace, host), nil
}

// Reached returns the host that an exit set leads to: of a pair, that of the other.
func (r *Registry) Reached(host string) string {
	if pair, made := r.Pair(host); made {
		return pair.Led
	}
	return host
}

func (r *Registry) foreignRule(namespace, host string, exit *egress.Exit) error {
	rule := r.Rule(namespace, host)
	if exit == nil || !rule.HasPolicy() {
		return nil
	}
	encrypts := slices.ContainsFunc(exit.Definition.Ports, func(port egress.Port) bool { return rule.TLS(port.Number) != nil })
	if !encrypts && (rule.Host != host || len(exit.Definition.TLS) == 0) {
		return nil
	}
	return fmt.Errorf("DestinationRule %s/%s, with host %q, is applied by the egress gateway to calls of host %q; remove it, or move it to a namespace of the host's entries",
		rule.Namespace, rule.Name, rule.Host, host)
}

// GatewayObjects returns what an egress gateway has for all hosts: the Gateway object of its own transport, and of another as
// long as entries are sealed for it, and what resolves wildcards; gone are the names of the Gateway objects that are not to be.
func (r *Registry) GatewayObjects(gw egress.Gateway) (objects []hop.Object, gone []string) {
	for _, transport := range egress.Transports() {
		by := gw.By(transport)
		object := hop.GatewayObject(gw, transport)
		if object != nil && (transport == gw.Transport || r.Uses(by.Leg())) {
			objects = append(objects, object)
		} else {
			gone = append(gone, hop.GatewayName(by))
		}
	}
	if resolver := hop.ResolverObject(r.mesh, gw); resolver != nil {
		objects = append(objects, resolver)
	}
	return objects, gone
}

// RuleForm returns the form of a stored DestinationRule, which is sealed when the entry of its host comes, and unsealed when
// it goes; nil where it stays as it is.
func (r *Registry) RuleForm(name types.NamespacedName) Form {
	rule := r.StoredRule(name)
	if rule == nil {
		return nil
	}
	serving, seals := r.mesh.Governing(rule, r), r.mesh.Seals(rule, r)
	// What a rule by mutual TLS holds follows the ports of its host; any other is sealed or not.
	follows := serving != nil && serving.Transport == egress.MutualTLS || rule.ByMutualTLS
	if !follows && (!rule.InForce || rule.Sealed == seals) {
		return nil
	}
	return func(object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
		out, err := hop.RuleIntent(object)
		if err == nil && seals {
			err = hop.SealRuleIntent(out, serving, r.mesh, r)
		}
		return out, err
	}
}

// RouteForm returns the form of a stored VirtualService, which is injected when the entry of a host that it leads to comes;
// nil where it stays as it is.
func (r *Registry) RouteForm(name types.NamespacedName) Form {
	gw, leaves := r.mesh.GatewayByName(r.GatewayOf(name.Namespace))
	if !leaves || !r.mesh.Inject {
		return nil
	}
	return func(object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
		return hop.Inject(object, gw, r.mesh, r)
	}
}

// ClientRoutes returns the VirtualServices of ours that a namespace is to hold for a host, and whether others of ours stay:
// as long as an entry that was led is not sealed, they keep its calls from going straight.
func (r *Registry) ClientRoutes(namespace, host string) (routes []*unstructured.Unstructured, others bool) {
	others = r.mesh.Seal && slices.ContainsFunc(r.Entries(host), func(entry *egress.Entry) bool {
		return entry.Namespace == namespace && entry.External && entry.Gateway == ""
	})
	return hop.ClientRoutes(r.mesh, r, namespace, host), others
}
