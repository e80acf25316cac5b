package registry

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// accounts has the names of the service accounts of each namespace.
type accounts = sets[string, string]

// named has the entries of others that a namespace is a client of by its name, where something says by name who may call.
type named struct {
	sets[string, types.NamespacedName]
}

// saysWho says whether the exits of an entry, or the waypoint before them, say by name who may call.
func saysWho(entry *egress.Entry) bool {
	return entry != nil && (entry.Transport == egress.MutualTLS || entry.Waypoint.Name != "")
}

func (n named) swap(name types.NamespacedName, last, next *egress.Entry) {
	of := func(entry *egress.Entry) []string {
		if !saysWho(entry) {
			return nil
		}
		out, _ := egress.Clients(entry.ExportTo, entry.Namespace)
		if entry.Accounts != nil {
			out = slices.Collect(maps.Keys(entry.Accounts))
		}
		return slices.DeleteFunc(out, func(namespace string) bool { return namespace == entry.Namespace })
	}
	for _, namespace := range of(last) {
		n.remove(namespace, name)
	}
	for _, namespace := range of(next) {
		n.add(namespace, name)
	}
}

// ServiceAccounts implements egress.View.
func (r *Registry) ServiceAccounts(namespace string) []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Sorted(maps.Keys(r.accounts[namespace]))
}

// PutAccount takes in a service account.
func (r *Registry) PutAccount(namespace, name string) {
	r.mu.Lock()
	if r.accounts[namespace][name] {
		r.mu.Unlock()
		return
	}
	r.accounts.add(namespace, name)
	change := Change{Callers: r.calledFrom(namespace)}
	r.mu.Unlock()
	r.tell(change)
}

// DeleteAccount forgets a service account.
func (r *Registry) DeleteAccount(namespace, name string) {
	r.mu.Lock()
	r.accounts.remove(namespace, name)
	change := Change{Callers: r.calledFrom(namespace)}
	r.mu.Unlock()
	r.tell(change)
}

// calledFrom returns the hosts whose exits, or the waypoints before them, say by name who of a namespace may call.
func (r *Registry) calledFrom(namespace string) (out []string) {
	byName := func(stored *Stored) {
		if entry := stored.entry(); saysWho(entry) {
			out = append(out, entry.Hosts...)
		}
	}
	for _, stored := range r.byNamespace[namespace] {
		byName(stored)
	}
	for name := range r.named.sets[namespace] {
		byName(r.entries[name])
	}
	return out
}

func slimAccount(obj any) any {
	account, ok := obj.(*corev1.ServiceAccount)
	if !ok {
		return obj
	}
	return &corev1.ServiceAccount{ObjectMeta: identity(account)}
}

func (r *Registry) putAccount(kept any) {
	if account, ok := kept.(*corev1.ServiceAccount); ok {
		r.PutAccount(account.Namespace, account.Name)
	}
}
