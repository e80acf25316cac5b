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
