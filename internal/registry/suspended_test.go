package registry_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/egress-governor/egress-governor/internal/registry"
)

// suspended is a stored entry that says of itself whether it is suspended.
func suspended(t *testing.T, name string, reason string) *unstructured.Unstructured {
	t.Helper()
	out := object(t, "ServiceEntry", "a", name, sealed, time.Second)
	out.Object["status"] = map[string]any{"conditions": []any{
		map[string]any{"type": "Other", "status": "False", "reason": "Suspended"},
		map[string]any{"type": "ExitReady", "status": "False", "reason": reason, "message": "no."},
	}}
	return out
}

func opens(r *registry.Registry) bool {
	exit := r.Exit("api.example.com", "istio-system")
	return exit != nil && len(exit.Open().Ports) > 0
}

// TestALeaderThatStartsGivesNothingBack: until it has judged what is stored, entries are what they say of themselves.
func TestALeaderThatStartsGivesNothingBack(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "!exempt")
	name := types.NamespacedName{Namespace: "a", Name: "x"}
	put(t, r, suspended(t, "x", "Suspended"))
	why, is := r.Suspended(name)
	assert.True(t, is)
	assert.Equal(t, "no.", why)
	assert.False(t, opens(r))
	put(t, r, suspended(t, "x", "ExitConfigured"))
	assert.True(t, opens(r), "another leader gave it back")
	put(t, r, suspended(t, "x", "Suspended"))
	assert.False(t, opens(r))

	r.Suspend(nil)
	assert.True(t, opens(r), "it was judged")
	put(t, r, suspended(t, "x", "Suspended"))
	assert.True(t, opens(r), "by now its own word does not count")
	r.Suspend(map[types.NamespacedName]string{name: "no."})
	put(t, r, suspended(t, "x", "ExitConfigured"))
	assert.False(t, opens(r), "nor to the contrary")
}

// TestWhoIsToldOfSuspension: the exits of the entry's hosts, and the entry, each time that something changes.
func TestWhoIsToldOfSuspension(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "!exempt")
	name := types.NamespacedName{Namespace: "a", Name: "x"}
	put(t, r, object(t, "ServiceEntry", "a", "x", sealed, time.Second))
	require.Equal(t, 1, r.Sealed())
	var changes []registry.Change
	r.OnChange(func(change registry.Change) { changes = append(changes, change) })
	told := func(next map[types.NamespacedName]string) []registry.Change {
		changes = nil
		r.Suspend(next)
		return changes
	}
	want := []registry.Change{{Callers: []string{"api.example.com"}, Entries: []types.NamespacedName{name}}}
	assert.Equal(t, want, told(map[types.NamespacedName]string{name: "no.", {Namespace: "a", Name: "gone"}: "no."}))
	assert.Len(t, r.Suspensions(), 1)
	assert.Empty(t, told(map[types.NamespacedName]string{name: "no."}))
	assert.Equal(t, want, told(map[types.NamespacedName]string{name: "another reason"}))
	assert.Equal(t, 1, r.Sealed(), "it has its place")
	assert.Equal(t, want, told(nil))

	wild := types.NamespacedName{Namespace: "a", Name: "wild"}
	put(t, r, object(t, "ServiceEntry", "a", "wild", strings.Replace(sealed, "Api.example.com.", `"*.example.com"`, 1), time.Second))
	assert.Equal(t, []registry.Change{{Hosts: []string{"*.example.com"}, Entries: []types.NamespacedName{wild}}},
		told(map[types.NamespacedName]string{wild: "no."}), "the hosts below as well")

	r.Suspend(map[types.NamespacedName]string{name: "no."})
	r.DeleteEntry("a", "x")
	put(t, r, object(t, "ServiceEntry", "a", "x", sealed, 2*time.Second))
	assert.True(t, opens(r), "another entry of that name was let in")
}

// TestNamespacesThatChangeAreTold, as far as anything goes by them.
func TestNamespacesThatChangeAreTold(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "!exempt")
	var told []string
	r.OnChange(func(change registry.Change) { told = append(told, change.Namespaces...) })
	told = nil // those that are governed already
	r.PutNamespace("a", map[string]string{"team": "x"})
	r.PutNamespace("a", map[string]string{"team": "x"})
	r.PutNamespace("free", map[string]string{"exempt": "true"})
	r.PutNamespace("free", map[string]string{"exempt": "true", "team": "x"})
	r.PutNamespace("free", nil)
	r.DeleteNamespace("free")
	assert.Equal(t, []string{"a", "free", "free"}, told)
}
