package registry

import (
	"k8s.io/apimachinery/pkg/types"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// counts are numbers by namespace. One that is 0 is not there.
type counts map[string]int

func (c counts) add(namespace string, more int) {
	if c[namespace] += more; c[namespace] == 0 {
		delete(c, namespace)
	}
}

// LedBy implements egress.View.
func (r *Registry) LedBy(namespace, except string) int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.ledHosts[namespace] - len(r.leading.hosts[types.NamespacedName{Namespace: namespace, Name: except}])
}

// ExportedBy implements egress.View.
func (r *Registry) ExportedBy(namespace, except string) int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.exportedTo[namespace] - exportedTo(r.entries[types.NamespacedName{Namespace: namespace, Name: except}].entry())
}

// exportedTo counts the namespaces that an entry is exported to, 0 for none.
func exportedTo(entry *egress.Entry) int {
	if entry == nil {
		return 0
	}
	return len(entry.ExportTo)
}

// RuleValues implements egress.View.
func (r *Registry) RuleValues(namespace, except string) int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.rules.values[namespace] - r.mesh.RuleValues(r.rules.byName[types.NamespacedName{Namespace: namespace, Name: except}])
}
