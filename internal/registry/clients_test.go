package registry_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/internal/registry"
)

// TestGovernedNamespacesStayTheSameUntilOneChanges: what is remembered by them would be matched anew.
func TestGovernedNamespacesStayTheSameUntilOneChanges(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "!exempt")
	names := func() (out []string) {
		for i := range r.Governed().Len() {
			name, _ := r.Governed().At(i)
			out = append(out, name)
		}
		return out
	}
	first := r.Governed()
	assert.Equal(t, []string{"a", "b"}, names())
	r.PutNamespace("a", map[string]string{})
	r.PutNamespace("system", map[string]string{"exempt": "true"})
	r.PutNamespace("system", map[string]string{"exempt": "yes"})
	r.DeleteNamespace("never-seen")
	assert.Same(t, first, r.Governed(), "nothing of a governed one changed")

	r.PutNamespace("b", map[string]string{"team": "b"})
	second := r.Governed()
	require.NotSame(t, first, second)
	_, labels := second.At(1)
	assert.Equal(t, map[string]string{"team": "b"}, labels)
	_, labels = first.At(1)
	assert.Empty(t, labels, "a moment never changes")

	r.PutNamespace("b", map[string]string{"exempt": "true"})
	assert.Equal(t, []string{"a"}, names())
	r.PutNamespace("system", nil)
	assert.Equal(t, []string{"a", "system"}, names())
	r.DeleteNamespace("a")
	assert.Equal(t, []string{"system"}, names())
}

// TestAnEntryReachesWhomItsStoredExportToNames, whatever its author wrote: sidecars go by what is stored.
func TestAnEntryReachesWhomItsStoredExportToNames(t *testing.T) {
	t.Parallel()
	mesh := egresstest.Mesh()
	r := registry.New(mesh)
	for _, namespace := range []string{"a", "b"} {
		r.PutNamespace(namespace, nil)
	}
	written := object(t, "ServiceEntry", "a", "e", `{hosts: [api.example.com], resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}`, 0)
	for narrowed, seen := range map[bool]bool{false: true, true: false} {
		mesh.OwnNamespace = narrowed
		sealed, err := hop.Seal(written, mesh.Gateways[0], mesh)
		require.NoError(t, err)
		put(t, r, sealed)
		entries := r.Entries("api.example.com")
		require.Len(t, entries, 1)
		assert.Same(t, entries[0], egress.Serving(entries, "a"))
		assert.Equal(t, seen, egress.Serving(entries, "b") != nil)
	}
}
