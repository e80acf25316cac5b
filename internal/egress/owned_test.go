package egress

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestServingAllIsServing, of every client.
func TestServingAllIsServing(t *testing.T) {
	t.Parallel()
	of := func(namespace string, exportTo ...string) *Entry {
		return &Entry{Namespace: namespace, ExportTo: exportTo}
	}
	for _, entries := range [][]*Entry{
		{of("a"), of("b", "c"), of("c", "~")}, {of("a", "*", "b"), of("b", "."), of("b")}, {of("a", ".", "c"), of("c")}, {of("a", "c"), of("b", "c", "a")}, nil,
	} {
		serving := servingAll(entries)
		for _, client := range []string{"a", "b", "c", "d"} {
			got, named := serving[client]
			if !named {
				got = serving[everybody]
			}
			assert.Same(t, Serving(entries, client), got, "%s of %v", client, entries)
		}
	}
}
