package registry

import "k8s.io/apimachinery/pkg/types"

// Released returns a stored entry that nobody has an exit stand for, since its namespace is not governed, nil for any other: one that is observed
// keeps what stands of an entry that is sealed, or held.
func (r *Registry) Released(name types.NamespacedName) *Stored {
	r.mu.RLock()
	defer r.mu.RUnlock()
	stored := r.entries[name]
	_, observed := r.observed[name.Namespace]
	if stored == nil || r.governed[name.Namespace] || observed && (stored.held || stored.Sealed) {
		return nil
	}
	return stored
}
