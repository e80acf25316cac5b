package registry

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// StoredRule is what is kept of a stored DestinationRule.
type StoredRule struct {
	Identity
	*egress.Rule
}

// GetObjectKind implements runtime.Object.
func (*StoredRule) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// DeepCopyObject implements runtime.Object. What is shared is never changed.
func (s *StoredRule) DeepCopyObject() runtime.Object {
	out := *s
	return &out
}

// rules has the DestinationRules by namespace and host, oldest first, and by host those of all namespaces.
type rules struct {
	mesh   *egress.Mesh
	byName map[types.NamespacedName]*egress.Rule
	byHost map[ruled][]*egress.Rule
	owners sets[string, types.NamespacedName]
	values counts
}

// ruled is a host, as a rule names it, in a namespace.
type ruled struct{ namespace, host string }

func newRules(mesh *egress.Mesh) rules {
	return rules{
		mesh: mesh, byName: map[types.NamespacedName]*egress.Rule{}, byHost: map[ruled][]*egress.Rule{},
		owners: sets[string, types.NamespacedName]{}, values: counts{},
	}
}

// of returns what the rules of a namespace say of a host, as Istio merges them.
func (r rules) of(namespace, host string) *egress.Rule {
	for _, pattern := range egress.Patterns(host) {
		if list := r.byHost[ruled{namespace, pattern}]; len(list) > 0 {
			return merged(list)
		}
	}
	return nil
}

// after is of, if the rule of a name were another one, or were gone where that is nil.
func (r rules) after(namespace, host, name string, next *egress.Rule) *egress.Rule {
	for _, pattern := range egress.Patterns(host) {
		list := slices.DeleteFunc(slices.Clone(r.byHost[ruled{namespace, pattern}]), func(rule *egress.Rule) bool { return rule.Name == name })
		if next != nil && next.Host == pattern {
			list = append(list, next)
			slices.SortFunc(list, (*egress.Rule).Older)
		}
		if len(list) > 0 {
			return merged(list)
		}
	}
	return nil
}

func merged(list []*egress.Rule) *egress.Rule {
	if len(list) == 1 {
		return list[0]
	}
	out := *list[0]
	for _, rule := range list[1:] {
		if out.Policy == nil {
			out.Policy, out.Name = rule.Policy, rule.Name
		}
		out.Subsets = slices.Concat(out.Subsets, rule.Subsets)
	}
	return &out
}

func (r rules) swap(name types.NamespacedName, next *egress.Rule) {
	r.values.add(name.Namespace, r.mesh.RuleValues(next)-r.mesh.RuleValues(r.byName[name]))
	if last := r.byName[name]; last != nil {
		at := ruled{name.Namespace, last.Host}
		r.byHost[at] = slices.DeleteFunc(slices.Clone(r.byHost[at]), func(rule *egress.Rule) bool { return rule == last })
		if len(r.byHost[at]) == 0 {
			delete(r.byHost, at)
		}
		r.owners.remove(last.Host, name)
		delete(r.byName, name)
	}
	if next == nil {
		return
	}
	r.byName[name] = next
	at := ruled{name.Namespace, next.Host}
	r.byHost[at] = append(slices.Clone(r.byHost[at]), next)
	slices.SortFunc(r.byHost[at], (*egress.Rule).Older)
	r.owners.add(next.Host, name)
}

// Rule implements egress.View.
func (r *Registry) Rule(namespace, host string) *egress.Rule {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.rules.of(namespace, host)
}

// RuleAfter implements egress.View.
func (r *Registry) RuleAfter(namespace, host, name string, next *egress.Rule) *egress.Rule {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.rules.after(namespace, host, name, next)
}

// StoredRule returns a rule, nil for none; those of namespaces that are not governed are none.
func (r *Registry) StoredRule(name types.NamespacedName) *egress.Rule {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if !r.governed[name.Namespace] {
		return nil
	}
	return r.rules.byName[name]
}

// RulesOf returns the rules that name exactly this host, of all namespaces.
func (r *Registry) RulesOf(host string) (out []types.NamespacedName) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for name := range r.rules.owners[host] {
		out = append(out, name)
	}
	return out
}

// RulesAt returns the rules of a namespace that name exactly this host, oldest first; of one that is not governed, too. They are shared and
// must not be changed.
func (r *Registry) RulesAt(namespace, host string) []*egress.Rule {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.rules.byHost[ruled{namespace, host}]
}

// Ruled implements egress.View.
func (r *Registry) Ruled(host string) (out []string) {
	r.mu.RLock()
	for name := range r.rules.owners[host] {
		out = append(out, name.Namespace)
	}
	r.mu.RUnlock()
	slices.Sort(out)
	return slices.Compact(out)
}

// ReadRule returns what is kept of a DestinationRule. One whose annotation does not decode counts as it stands.
func (r *Registry) ReadRule(object *unstructured.Unstructured) *StoredRule {
	if r.ours(object) || hop.IsClientRule(object) {
		return &StoredRule{Identity: identify(object)}
	}
	intent, err := hop.RuleIntent(object)
	if err != nil {
		intent = object
	}
	rule := r.mesh.ReadRule(intent)
	rule.InForce, rule.Sealed, rule.ByMutualTLS = hop.RuleInForce(intent), hop.RuleSealed(object), hop.RuleByMutualTLS(object)
	if _, ofGateway := r.mesh.GatewayByService(rule.Host); ofGateway {
		rule.InForce = hop.GatewayRuleInForce(intent)
	}
	return &StoredRule{Identity: identify(object), Rule: rule}
}

// PutRule takes in a DestinationRule.
func (r *Registry) PutRule(rule *egress.Rule) {
	if rule == nil {
		// Our own, of an exit.
		return
	}
	r.swapRule(types.NamespacedName{Namespace: rule.Namespace, Name: rule.Name}, rule)
}

// DeleteRule forgets a DestinationRule.
func (r *Registry) DeleteRule(namespace, name string) {
	r.swapRule(types.NamespacedName{Namespace: namespace, Name: name}, nil)
}

func (r *Registry) swapRule(name types.NamespacedName, next *egress.Rule) {
	r.mu.Lock()
	last := r.rules.byName[name]
	if last.Same(next) {
		r.mu.Unlock()
		return
	}
	var change Change
	for _, rule := range []*egress.Rule{last, next} {
		if rule != nil {
			change.Hosts = append(change.Hosts, r.below(rule.Host)...)
			change.Clients = append(change.Clients, clientsOf(name.Namespace, r.below(rule.Host))...)
			change.Entries = append(change.Entries, r.under(name.Namespace, rule.Host)...)
		}
	}
	r.rules.swap(name, next)
	r.forget(change.Hosts)
	r.mu.Unlock()
	r.tell(change)
}

// ruled returns hosts as those namespaces know them that have a rule of them.
func (r *Registry) ruled(hosts []string) (out []Client) {
	for _, host := range hosts {
		for name := range r.rules.owners[host] {
			out = append(out, Client{name.Namespace, host})
		}
	}
	return out
}

// ruledBy returns the hosts of which a namespace has a rule.
func (r *Registry) ruledBy(namespace string) (out []string) {
	for name, rule := range r.rules.byName {
		if name.Namespace == namespace && len(r.hosts[rule.Host]) > 0 {
			out = append(out, rule.Host)
		}
	}
	return out
}

// Below implements egress.View.
func (r *Registry) Below(pattern string) []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.below(pattern)
}

func (r *Registry) below(pattern string) (out []string) {
	if !egress.IsWildcard(pattern) {
		if len(r.hosts[pattern]) > 0 {
			out = append(out, pattern)
		}
		return out
	}
	for host := range r.hosts {
		if pattern == "*" || strings.HasSuffix(host, pattern[1:]) {
			out = append(out, host)
		}
	}
	return out
}
