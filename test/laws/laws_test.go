// Package laws holds rewrites to their laws, on generated objects.
package laws

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/test/draw"
)

// both runs a law for each transport.
func both(t *testing.T, law func(t *testing.T, mesh *egress.Mesh, cluster *egresstest.Cluster)) {
	t.Helper()
	t.Run("Plain", func(t *testing.T) { t.Parallel(); law(t, egresstest.Mesh(), egresstest.NewCluster()) })
	t.Run("MutualTLS", func(t *testing.T) { t.Parallel(); law(t, egresstest.MutualTLS(), egresstest.NewMutualCluster()) })
}

func TestLawsOfSealing(t *testing.T) {
	t.Parallel()
	both(t, lawsOfSealing)
	t.Run("with a waypoint", func(t *testing.T) { t.Parallel(); lawsOfSealing(t, egresstest.Ambient(), nil) })
}

func lawsOfSealing(t *testing.T, mesh *egress.Mesh, _ *egresstest.Cluster) {
	t.Helper()
	sealedOnce := false
	rapid.Check(t, lawOfSealing(mesh, func() { sealedOnce = true }))
	require.True(t, sealedOnce, "the generator must draw entries that can be sealed")
}

// lawOfSealing is the law for a mesh; it tells of an entry that was sealed.
func lawOfSealing(mesh *egress.Mesh, sealedOne func()) func(*rapid.T) {
	return func(t *rapid.T) {
		x := draw.Entry(t)
		before := x.DeepCopy()
		sealed, err := hop.Seal(x, mesh.Gateways[0], mesh)
		require.Equal(t, before.Object, x.Object, "Seal must not touch what it is given")
		if err != nil {
			var refusals hop.Refusals
			require.ErrorAs(t, err, &refusals)
			return
		}
		want, err := hop.EntryIntent(x, mesh)
		require.NoError(t, err)
		got, err := hop.EntryIntent(sealed, mesh)
		require.NoError(t, err)
		require.Equal(t, x.Object, want.Object, "an unsealed entry is its own intent") //nolint:testifylint // x is what is expected
		require.Equal(t, want.Object, got.Object, "Intent(Seal(x)) == Intent(x)")
		again, err := hop.Seal(sealed, mesh.Gateways[0], mesh)
		require.NoError(t, err)
		require.Equal(t, sealed.Object, again.Object, "Seal(Seal(x)) == Seal(x)")
		if _, is := hop.SealedTo(sealed, mesh); is {
			sealedOne()
		}
	}
}

func TestLawsOfInjection(t *testing.T) {
	t.Parallel()
	both(t, lawsOfInjection)
}

func lawsOfInjection(t *testing.T, mesh *egress.Mesh, cluster *egresstest.Cluster) {
	t.Helper()
	injectedOnce, leftOnce := false, false
	rapid.Check(t, lawOfInjection(mesh, cluster, func(changed bool) {
		injectedOnce, leftOnce = injectedOnce || changed, leftOnce || !changed
	}))
	require.True(t, injectedOnce, "the generator must draw routes that can be injected")
	require.True(t, leftOnce, "the generator must draw routes that cannot be")
}

// lawOfInjection is the law for a mesh; it tells of each object whether it was changed.
func lawOfInjection(mesh *egress.Mesh, cluster *egresstest.Cluster, drawn func(changed bool)) func(*rapid.T) {
	return func(t *rapid.T) {
		x := draw.VirtualService(t)
		before := x.DeepCopy()
		injected, err := hop.Inject(x, mesh.Gateways[0], mesh, cluster)
		require.NoError(t, err)
		require.Equal(t, before.Object, x.Object, "Inject must not touch what it is given")
		got, err := hop.RouteIntent(injected, mesh)
		require.NoError(t, err)
		require.Equal(t, before.Object, got.Object, "Intent(Inject(x)) == x")
		again, err := hop.Inject(injected, mesh.Gateways[0], mesh, cluster)
		require.NoError(t, err)
		require.Equal(t, injected.Object, again.Object, "Inject(Inject(x)) == Inject(x)")
		_, changed := injected.GetAnnotations()[hop.IntentAnnotation]
		require.Empty(t, hop.CheckInjected(injected, got, mesh), "a rewrite puts nothing there that is not believed")
		drawn(changed)
	}
}
