package controller

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/registry"
)

var appA = types.NamespacedName{Namespace: "app", Name: "a"}

// write has the author of the entry change it, which the API server counts.
func (s *stage) write(change func(*networkingv1.ServiceEntry)) {
	s.t.Helper()
	entry := &networkingv1.ServiceEntry{}
	require.NoError(s.t, s.cluster.Get(s.t.Context(), appA, entry))
	entry.Generation++
	change(entry)
	require.NoError(s.t, s.cluster.Update(s.t.Context(), entry))
	s.writes = nil
	s.see("app", "a")
}

// conditions has the entry's status say what it is given.
func (s *stage) conditions(given ...any) {
	s.t.Helper()
	object := empty(istio("ServiceEntry"))
	require.NoError(s.t, s.cluster.Get(s.t.Context(), appA, object))
	require.NoError(s.t, unstructured.SetNestedSlice(object.Object, given, "status", "conditions"))
	require.NoError(s.t, s.cluster.Status().Update(s.t.Context(), object))
	s.writes = nil
	s.see("app", "a")
}

// stands is what the entry tells by itself, nil for nothing.
func (s *stage) stands() *registry.Told {
	s.t.Helper()
	object := empty(istio("ServiceEntry"))
	require.NoError(s.t, s.cluster.Get(s.t.Context(), appA, object))
	return registry.ToldOf(object)
}

// TestExitReadyIsToldOfWhatWasWrittenLast: kubectl wait goes by the generation, so that one which is ready for another entry of the name is
// none, and each one is told of, whether an exit is made of what is new in it or not.
func TestExitReadyIsToldOfWhatWasWrittenLast(t *testing.T) {
	t.Parallel()
	s := newStage(t, egresstest.Mesh())
	s.store(defaultEntry("a", "TLS"))
	s.write(func(*networkingv1.ServiceEntry) {})
	s.drain()
	assert.Equal(t, int64(1), s.stands().Generation)

	s.write(func(entry *networkingv1.ServiceEntry) { entry.Spec.Hosts = append(entry.Spec.Hosts, "b.example.com") })
	_, err := s.ready.Reconcile(t.Context(), appA)
	require.NoError(t, err)
	require.True(t, s.stands().Before(2), "the exit of its new host is not there yet")
	s.drain()
	assert.Equal(t, int64(2), s.stands().Generation)
	assert.Equal(t, "True", s.stands().Status)

	s.write(func(*networkingv1.ServiceEntry) {}) // of a field of which nothing is kept
	s.drain()
	assert.Equal(t, int64(3), s.stands().Generation)
	assert.Equal(t, []string{"status ServiceEntry app"}, s.writes)
}

// TestAnUpgradeHasTime for entries that say what they said before, but for the generation, and for nothing else; the number may stand there as a
// text, as Istio's own types are written.
func TestAnUpgradeHasTime(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		generation any
		message    string
		began      time.Time
		written    bool
	}{
		"a leader that starts":       {began: time.Now().Add(time.Hour)},
		"a leader of some time":      {written: true},
		"something else is to say":   {began: time.Now().Add(time.Hour), message: "of before", written: true},
		"another generation":         {began: time.Now().Add(time.Hour), generation: int64(4), written: true},
		"the same generation":        {generation: int64(5)},
		"the generation as a text":   {generation: "5"},
		"another generation, a text": {generation: "4", written: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, egresstest.Mesh())
			s.store(defaultEntry("a", "TLS"))
			s.drain()
			last := s.condition("app", "a")
			s.write(func(entry *networkingv1.ServiceEntry) { entry.Generation = 5 })
			s.drain()
			if row.message != "" {
				last["message"] = row.message
			}
			if last["observedGeneration"] = row.generation; row.generation == nil {
				delete(last, "observedGeneration")
			}
			s.conditions(last)
			s.ready.began = row.began
			result, err := s.ready.Reconcile(t.Context(), appA)
			require.NoError(t, err)
			assert.Equal(t, row.written, len(s.writes) == 1, s.writes)
			later := !row.written && row.generation == nil
			assert.Equal(t, later, result.RequeueAfter > 0, "it comes back")
		})
	}
}

// TestWhatIsUnsealedTellsOfNoExit: neither observed nor exempt is anything told of it, others' conditions stay, and where it is governed it is
// not sealed, whatever carried it before.
func TestWhatIsUnsealedTellsOfNoExit(t *testing.T) {
	t.Parallel()
	s := newStage(t, observing(t, egresstest.Mesh()))
	s.store(defaultEntry("a", "TLS"))
	s.drain()
	others := map[string]any{"type": "Reconciled", "status": "True"}
	s.conditions(others, s.condition("app", "a"))
	s.registry.PutNamespace("app", observe)
	s.drain()
	require.Equal(t, "True", s.stands().Status, "its exit stands")

	s.write(func(entry *networkingv1.ServiceEntry) { entry.Spec.Endpoints, entry.Annotations = nil, held })
	s.drain()
	require.Equal(t, "True", s.stands().Status, "its exit stands until it is held no more")
	s.annotate(nil)
	s.drain()
	assert.Nil(t, s.stands())
	assert.Equal(t, []any{others}, s.stored().Conditions())

	s.registry.PutNamespace("app", nil)
	s.drain()
	assert.Equal(t, []string{"False", "NotSealed"}, []string{s.stands().Status, s.stands().Reason})
	s.registry.PutNamespace("app", observe)
	s.drain()
	assert.Nil(t, s.stands())
}

// stored is the entry as a controller that starts finds it.
func (s *stage) stored() *registry.Stored {
	s.t.Helper()
	object := empty(istio("ServiceEntry"))
	require.NoError(s.t, s.cluster.Get(s.t.Context(), appA, object))
	return s.registry.Read(object)
}

// TestALeaderTakesBackWhatNobodyStandsFor by now: the namespace was released, or the entry unsealed, while there was none.
func TestALeaderTakesBackWhatNobodyStandsFor(t *testing.T) {
	t.Parallel()
	for name, labels := range map[string]map[string]string{"observed": observe, "exempt": {"mode": "none"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mesh := observing(t, egresstest.Mesh())
			mesh.Governed = parsed(t, "mode notin (Observe, none)")
			mesh.Observed = parsed(t, "mode=Observe")
			s := newStage(t, mesh)
			s.registry.PutNamespace("app", labels)
			entry := leadingOut(nil)
			s.store(entry)
			s.drain()
			s.conditions(map[string]any{"type": "ExitReady", "status": "True", "reason": "ExitConfigured", "message": "it stands"})
			require.NoError(t, s.ready.follow(t.Context(), s.readyQueue))
			s.drain()
			assert.Nil(t, s.stands())
		})
	}
}

// TestNobodyWaitsToBeToldThatAnEntryIsNotSealed: after an install into a living cluster that is to be said of all.
func TestNobodyWaitsToBeToldThatAnEntryIsNotSealed(t *testing.T) {
	t.Parallel()
	s := newStage(t, egresstest.Mesh())
	s.ready.began = time.Now().Add(time.Hour)
	s.store(leadingOut(nil))
	result, err := s.ready.Reconcile(t.Context(), appA)
	require.NoError(t, err)
	assert.Positive(t, result.RequeueAfter)
	assert.Nil(t, s.stands())
	s.ready.began = time.Time{}
	s.drain()
	assert.Equal(t, "NotSealed", s.stands().Reason)
	s.remove("app", "a")
	s.drain()
	internal := leadingOut(nil)
	internal.Spec.Location = networking.ServiceEntry_MESH_INTERNAL
	s.store(internal)
	s.drain()
	assert.Nil(t, s.stands(), "it is the mesh's own")
}
