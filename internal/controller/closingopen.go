package controller

import (
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/egress-governor/egress-governor/internal/hop"
)

// What preflight tells of namespaces that are to be closed and are not.

func (c *Closing) setOpen(namespace string, sidecars []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if delete(c.open, namespace); len(sidecars) > 0 {
		c.open[namespace] = sidecars
	}
}

// Open returns the Sidecars that keep their namespaces open, sorted.
func (c *Closing) Open() (out []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, names := range c.open {
		out = append(out, names...)
	}
	slices.SortFunc(out, strings.Compare)
	return out
}

// setUnclosed notes whether an object of ours that closes a namespace could be written.
func (c *Closing) setUnclosed(kind schema.GroupVersionKind, namespace string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	object := kind.Kind + " " + namespace + "/" + hop.ClosingName
	if delete(c.unclosed, object); err != nil && !terminating(err) {
		c.unclosed[object] = true
	}
}

// Unclosed returns the objects of ours that are to close their namespaces and could not be written, sorted, each with its kind.
func (c *Closing) Unclosed() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.unclosed))
}
