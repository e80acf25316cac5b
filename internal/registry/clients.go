package registry

import (
	"maps"
	"sync/atomic"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// clients are the governed namespaces: their labels, and what is handed out of them until one changes.
type clients struct {
	labels   map[string]map[string]string
	snapshot atomic.Pointer[egress.Namespaces]
}

// set takes in a namespace, and says whether it is another than before. One that is as it was leaves the snapshot the same,
// by which others remember it.
func (c *clients) set(namespace string, set map[string]string, governed bool) (changed bool) {
	last, known := c.labels[namespace]
	if known == governed && (!governed || maps.Equal(last, set)) {
		return false
	}
	if c.snapshot.Store(nil); !governed {
		delete(c.labels, namespace)
		return true
	}
	c.labels[namespace] = set
	return true
}

// Governed implements egress.View.
func (r *Registry) Governed() *egress.Namespaces {
	if out := r.clients.snapshot.Load(); out != nil {
		return out
	}
	// What reads the labels stores the snapshot, so that none is stored after a change that it has not seen.
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.clients.snapshot.Load()
	if out == nil {
		out = egress.NewNamespaces(r.clients.labels)
		r.clients.snapshot.Store(out)
	}
	return out
}
