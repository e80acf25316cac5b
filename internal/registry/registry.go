// Package registry knows which ServiceEntry, Service and DestinationRule of the cluster names which host. It is filled
// from the manager's cache on every replica, and answers from memory.
package registry

import (
	"cmp"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// Registry implements egress.World. It is safe for concurrent use.
type Registry struct {
	mesh *egress.Mesh

	mu sync.RWMutex
	// entries and rules by object, byHost derived from entries; namespaces holds the governed ones.
	entries   map[types.NamespacedName]*egress.Entry
	byHost    map[string][]*egress.Entry
	services  map[string]*corev1.Service
	rules     map[types.NamespacedName]string
	governed  map[string]bool
	listeners []func(hosts []string)
}

var _ egress.World = (*Registry)(nil)

// New returns an empty registry.
func New(mesh *egress.Mesh) *Registry {
	return &Registry{
		mesh: mesh, entries: map[types.NamespacedName]*egress.Entry{}, byHost: map[string][]*egress.Entry{},
		services: map[string]*corev1.Service{}, rules: map[types.NamespacedName]string{}, governed: map[string]bool{},
	}
}

// OnChange calls back with the canonical hosts whose entries changed, before and after. Register before start.
func (r *Registry) OnChange(listener func(hosts []string)) {
	r.listeners = append(r.listeners, listener)
}

// Entries implements egress.World: the entries of governed namespaces alone.
func (r *Registry) Entries(host string) []*egress.Entry {
	r.mu.RLock()
	defer r.mu.RUnlock()
	all := r.byHost[host]
	out := make([]*egress.Entry, 0, len(all))
	for _, entry := range all {
		if r.governed[entry.Namespace] {
			out = append(out, entry)
		}
	}
	return out
}

// HasTrafficPolicy implements egress.World.
func (r *Registry) HasTrafficPolicy(namespace, host string) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for name, ruled := range r.rules {
		if name.Namespace == namespace && ruled == host {
			return true
		}
	}
	return false
}

// PutEntry takes in a stored ServiceEntry.
func (r *Registry) PutEntry(obj *unstructured.Unstructured) {
	entry := r.parse(obj)
	name := types.NamespacedName{Namespace: obj.GetNamespace(), Name: obj.GetName()}
	r.swap(name, entry)
}

// DeleteEntry forgets a ServiceEntry.
func (r *Registry) DeleteEntry(namespace, name string) {
	r.swap(types.NamespacedName{Namespace: namespace, Name: name}, nil)
}

// parse returns the entry an object stands for, nil when it cannot be read; our own exit entries are not authors'.
func (r *Registry) parse(obj *unstructured.Unstructured) *egress.Entry {
	if obj.GetLabels()[hop.ManagedByLabel] == hop.Manager {
		if _, ours := obj.GetAnnotations()[hop.HostAnnotation]; ours && r.isGatewayNamespace(obj.GetNamespace()) {
			return nil
		}
	}
	intent, err := hop.Intent(obj, r.mesh)
	if err != nil {
		return nil
	}
	parsed, err := egress.ParseServiceEntry(intent)
	if err != nil {
		return nil
	}
	out := &egress.Entry{
		Namespace: obj.GetNamespace(), Name: obj.GetName(), UID: string(obj.GetUID()), Created: obj.GetCreationTimestamp().Time,
		External: parsed.External(), Ports: parsed.Ports, Definition: parsed.Define(),
	}
	for _, host := range parsed.Hosts {
		out.Hosts = append(out.Hosts, egress.Canonical(host))
	}
	if gw, sealed := hop.SealedTo(obj, r.mesh); sealed && out.External && len(hop.Check(parsed, gw, r.mesh)) == 0 {
		out.Gateway = gw.Name
	}
	return out
}

func (r *Registry) isGatewayNamespace(namespace string) bool {
	return slices.ContainsFunc(r.mesh.Gateways, func(g egress.Gateway) bool { return g.Namespace() == namespace })
}

func (r *Registry) swap(name types.NamespacedName, next *egress.Entry) {
	r.mu.Lock()
	last := r.entries[name]
	var hosts []string
	if last != nil {
		hosts = append(hosts, last.Hosts...)
		for _, host := range last.Hosts {
			r.byHost[host] = slices.DeleteFunc(slices.Clone(r.byHost[host]), func(e *egress.Entry) bool { return e == last })
			if len(r.byHost[host]) == 0 {
				delete(r.byHost, host)
			}
		}
		delete(r.entries, name)
	}
	if next != nil {
		hosts = append(hosts, next.Hosts...)
		r.entries[name] = next
		for _, host := range next.Hosts {
			sorted := append(slices.Clone(r.byHost[host]), next)
			slices.SortFunc(sorted, older)
			r.byHost[host] = sorted
		}
	}
	r.mu.Unlock()
	r.notify(hosts)
}

func older(a, b *egress.Entry) int {
	return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

func (r *Registry) notify(hosts []string) {
	slices.Sort(hosts)
	hosts = slices.Compact(hosts)
	for _, listener := range r.listeners {
		if len(hosts) > 0 {
			listener(hosts)
		}
	}
}

// PutRule takes in a DestinationRule.
func (r *Registry) PutRule(rule *unstructured.Unstructured) {
	name := types.NamespacedName{Namespace: rule.GetNamespace(), Name: rule.GetName()}
	host, _, _ := unstructured.NestedString(rule.Object, "spec", "host")
	_, policy, _ := unstructured.NestedMap(rule.Object, "spec", "trafficPolicy")
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.rules, name)
	if policy {
		r.rules[name] = r.mesh.Qualify(host, rule.GetNamespace())
	}
}

// DeleteRule forgets a DestinationRule.
func (r *Registry) DeleteRule(namespace, name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.rules, types.NamespacedName{Namespace: namespace, Name: name})
}

// PutNamespace takes in a namespace's labels, which decide whether it is governed.
func (r *Registry) PutNamespace(name string, set map[string]string) {
	governed := r.mesh.Governed.Matches(labels.Set(set))
	r.mu.Lock()
	changed := r.governed[name] != governed
	r.governed[name] = governed
	var hosts []string
	for _, entry := range r.entries {
		if changed && entry.Namespace == name {
			hosts = append(hosts, entry.Hosts...)
		}
	}
	r.mu.Unlock()
	r.notify(hosts)
}

// DeleteNamespace forgets a namespace.
func (r *Registry) DeleteNamespace(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.governed, name)
}
