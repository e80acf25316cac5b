// Package registry knows which ServiceEntry, Service and DestinationRule of the cluster names which host. It is filled
// from the manager's cache on every replica, and answers from memory.
package registry

import (
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/types"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// Registry implements egress.View. It is safe for concurrent use.
type Registry struct {
	mesh *egress.Mesh

	mu sync.RWMutex
	// entries are all that are stored, byNamespace the same; hosts has them by what they name.
	entries     map[types.NamespacedName]*Stored
	byNamespace map[string]map[types.NamespacedName]*Stored
	hosts       index
	exits       exits
	governed    map[string]bool
	leaving     map[string]string
	// observed has the gateways that observed namespaces would leave by, empty for none.
	observed map[string]string
	clients  clients
	services map[string]*egress.Service
	// clusterIPs has the Services by their addresses. Several may claim one: what one gives up stays the others'.
	clusterIPs sets[netip.Addr, string]
	// given has the entries by the addresses that istiod gave their hosts.
	given    sets[netip.Addr, types.NamespacedName]
	accounts accounts
	named    named
	ports    ports
	// capture says whether sidecars capture DNS.
	capture atomic.Bool
	// legs counts the entries by the client legs that they are sealed to.
	legs     map[egress.Leg]int
	rules    rules
	pairs    pairs
	routings routings
	rivals   rivals
	// leading has the VirtualServices that lead to a host as they are stored, or are for it, narrowing those that leave out calls of
	// wildcards, taking those that decide over calls of others, astray those that lead calls to a host which ask for another, mapped
	// those that lead them to a port which the gateway would not go by; seenBy says of the latter four who sees them.
	leading, narrowing, taking, astray routesByHost
	mapped                             routesBy[egress.Mapping]
	seenBy                             map[types.NamespacedName]*egress.Seen
	// ledHosts counts by namespace the hosts of leading, with each VirtualService, exportedTo the namespaces that entries are exported to.
	ledHosts, exportedTo counts
	// deciding has the Gateway objects on which VirtualServices decide.
	deciding  map[types.NamespacedName][]string
	suspended suspensions
	bindings  map[types.NamespacedName]*egress.Binding
	// serving has the Gateway objects of others by the hosts that they name.
	serving routesByHost
	pods    pods
	// takers are those of each egress gateway, by its name.
	takers    map[string]*takers
	listeners []func(Change)
}

var _ egress.View = (*Registry)(nil)

// Change names what a change of the cluster touches.
type Change struct {
	// Hosts are canonical hosts whose entries, or the rules of those, are others than before, and pairs that came or went.
	Hosts []string
	// Routes are VirtualServices that lead to hosts outside as they are stored.
	Routes []types.NamespacedName
	// Callers are hosts whose entries are as before, and whose callers have other identities.
	Callers []string
	// Clients are hosts whose entries in a namespace, or the rules of it, are others than before.
	Clients []Client
	// Entries are stored entries whose own part changed, or the rule that their namespace has for a host, or whose gateway's Service did.
	Entries []types.NamespacedName
	// Namespaces are others than before: governed or not, by their labels, or by the gateway that they leave by.
	Namespaces []string
}

// Client is a host as a namespace's own entries name it.
type Client struct{ Namespace, Host string }

func clientsOf(namespace string, hosts []string) []Client {
	out := make([]Client, len(hosts))
	for i, host := range hosts {
		out[i] = Client{namespace, host}
	}
	return out
}

// New returns an empty registry.
func New(mesh *egress.Mesh) *Registry {
	out := &Registry{
		mesh:    mesh,
		entries: map[types.NamespacedName]*Stored{}, byNamespace: map[string]map[types.NamespacedName]*Stored{},
		hosts: index{}, exits: exits{}, ports: newPorts(), legs: map[egress.Leg]int{},
		suspended: suspensions{why: map[types.NamespacedName]string{}},
		governed:  map[string]bool{}, leaving: map[string]string{}, observed: map[string]string{},
		clients: clients{labels: map[string]map[string]string{}}, accounts: accounts{}, named: named{sets[string, types.NamespacedName]{}},
		services: map[string]*egress.Service{}, clusterIPs: sets[netip.Addr, string]{}, given: sets[netip.Addr, types.NamespacedName]{},
		rules: newRules(mesh), pairs: newPairs(), routings: newRoutings(), rivals: newRivals(),
		leading: newRoutesBy[string](), narrowing: newRoutesBy[string](), taking: newRoutesBy[string](), astray: newRoutesBy[string](), mapped: newRoutesBy[egress.Mapping](),
		seenBy: map[types.NamespacedName]*egress.Seen{}, ledHosts: counts{}, exportedTo: counts{}, deciding: map[types.NamespacedName][]string{},
		bindings: map[types.NamespacedName]*egress.Binding{}, serving: newRoutesBy[string](), pods: newPods(), takers: map[string]*takers{},
	}
	for _, gw := range mesh.Gateways {
		out.takers[gw.Name] = &takers{on: map[types.NamespacedName]bool{}}
	}
	return out
}

// OnChange calls back with everything there is, and then with each change.
func (r *Registry) OnChange(listener func(Change)) {
	r.mu.Lock()
	all := r.all()
	all.Clients = append(all.Clients, r.ruled(all.Hosts)...)
	r.listeners = append(r.listeners, listener)
	r.mu.Unlock()
	listener(all)
}

func (r *Registry) all() (out Change) {
	for name, stored := range r.entries {
		governed := r.governed[name.Namespace]
		if governed || stored.Told() != nil {
			out.Entries = append(out.Entries, name)
		}
		if governed && stored.Entry != nil {
			out.Hosts = append(out.Hosts, stored.Entry.Hosts...)
			out.Clients = append(out.Clients, clientsOf(name.Namespace, stored.Entry.Hosts)...)
		}
	}
	out.Namespaces = slices.Sorted(maps.Keys(r.governed))
	for pair := range r.pairs.byName {
		out.Hosts = append(out.Hosts, pair)
	}
	for host := range r.rules.owners {
		out.Hosts = append(out.Hosts, host)
	}
	return out
}

// Exits returns the canonical hosts and the names of pairs that may have an exit set, sorted.
func (r *Registry) Exits() []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	out := r.all().Hosts
	slices.Sort(out)
	return slices.Compact(out)
}

func (r *Registry) tell(change Change) {
	if len(change.Hosts)+len(change.Entries)+len(change.Routes)+len(change.Callers)+len(change.Clients)+len(change.Namespaces) == 0 {
		return
	}
	r.mu.RLock()
	listeners := r.listeners
	r.mu.RUnlock()
	for _, listener := range listeners {
		listener(change)
	}
}

// Entries implements egress.View.
func (r *Registry) Entries(host string) []*egress.Entry {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.hosts[host]
}

// Named implements egress.View.
func (r *Registry) Named(namespace, name string) *egress.Entry {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.entries[types.NamespacedName{Namespace: namespace, Name: name}].entry()
}

// HostsOf implements egress.View.
func (r *Registry) HostsOf(namespace, except string) (out int) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for name, stored := range r.byNamespace[namespace] {
		if entry := stored.entry(); entry != nil && entry.External && name.Name != except {
			out += entry.Exits()
		}
	}
	return out
}

// Stored returns a stored entry, nil for none; those of namespaces that are not governed are none.
func (r *Registry) Stored(name types.NamespacedName) *Stored {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if !r.governed[name.Namespace] {
		return nil
	}
	stored := r.entries[name]
	if stored == nil || len(stored.carriers) == 0 {
		return stored
	}
	out := *stored
	out.Entry = r.led(stored)
	return &out
}

// PutEntry takes in a stored ServiceEntry.
func (r *Registry) PutEntry(next *Stored) {
	name := types.NamespacedName{Namespace: next.Namespace, Name: next.Name}
	if next.ours {
		r.swap(name, nil)
		return
	}
	r.swap(name, next)
}

// DeleteEntry forgets a ServiceEntry.
func (r *Registry) DeleteEntry(namespace, name string) {
	r.swap(types.NamespacedName{Namespace: namespace, Name: name}, nil)
}

func (r *Registry) swap(name types.NamespacedName, next *Stored) {
	r.mu.Lock()
	last := r.entries[name]
	recalled := r.recall(name, next)
	if (last.same(next) && !recalled) || (last == nil && next == nil) {
		// Its status changed, or something else of which no exit is made.
		var change Change
		if last != nil && last.Generation != next.Generation {
			change.Entries = []types.NamespacedName{name} // what it tells is told of another
		}
		r.keep(name, next)
		r.mu.Unlock()
		r.tell(change)
		return
	}
	change := Change{Entries: []types.NamespacedName{name}}
	change.Hosts = append(change.Hosts, r.uncount(last)...)
	r.keep(name, next)
	counting := r.counting(next)
	change.Hosts = append(change.Hosts, r.count(counting)...)
	change.Clients = append(clientsOf(name.Namespace, change.Hosts), r.ruled(change.Hosts)...)
	if last == nil && counting != nil {
		r.grow(counting)
	} else {
		r.forget(change.Hosts)
	}
	r.mu.Unlock()
	r.tell(change)
}

func (r *Registry) keep(name types.NamespacedName, next *Stored) {
	last := r.entries[name].entry()
	r.named.swap(name, last, next.entry())
	r.exportedTo.add(name.Namespace, exportedTo(next.entry())-exportedTo(last))
	r.give(name, next)
	if next == nil {
		delete(r.entries, name)
		delete(r.byNamespace[name.Namespace], name)
		if len(r.byNamespace[name.Namespace]) == 0 {
			delete(r.byNamespace, name.Namespace)
		}
		return
	}
	if last := r.entries[name]; last.same(next) {
		// The entry that hosts hold stays the one.
		next.Entry = last.Entry
	}
	r.entries[name] = next
	if r.byNamespace[name.Namespace] == nil {
		r.byNamespace[name.Namespace] = map[types.NamespacedName]*Stored{}
	}
	r.byNamespace[name.Namespace][name] = next
}
