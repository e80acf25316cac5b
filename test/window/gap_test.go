package window

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/internal/hop"
)

// gathered is how long istiod waits for another change before it tells proxies of those that there were (PILOT_DEBOUNCE_AFTER): next to nothing.
const gathered = time.Millisecond

// writes are when entries, and the rules of their names, turned from one form to the other, and client rules of theirs came and went, as the API
// server's watch tells.
type writes struct {
	mu    sync.Mutex
	forms map[string]bool
	turns map[string]time.Time
}

// ruledWrites watches those of a namespace as long as the test runs.
func ruledWrites(t *testing.T, namespace string) *writes {
	t.Helper()
	watching, err := client.NewWithWatch(plane.Config, client.Options{Scheme: plane.Client.Scheme()})
	require.NoError(t, err)
	out := &writes{forms: map[string]bool{}, turns: map[string]time.Time{}}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	t.Cleanup(cancel)
	for _, kind := range []string{"ServiceEntry", "DestinationRule"} {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(schema.GroupVersionKind{Group: "networking.istio.io", Version: "v1", Kind: kind + "List"})
		require.NoError(t, watching.List(ctx, list, client.InNamespace(namespace)))
		from, err := watching.Watch(ctx, list, client.InNamespace(namespace), &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: list.GetResourceVersion()}})
		require.NoError(t, err)
		go func() {
			for event := range from.ResultChan() {
				if object, is := event.Object.(*unstructured.Unstructured); is {
					out.saw(object, event.Type != watch.Deleted, time.Now())
				}
			}
		}()
	}
	return out
}

func (w *writes) saw(object *unstructured.Unstructured, there bool, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	name, form := object.GetName(), object.GetAnnotations()[hop.IntentAnnotation] != ""
	if hop.IsClientRule(object) {
		name, _, _ = strings.Cut(object.GetAnnotations()[hop.HostAnnotation], ".")
		form = there
	}
	if name = object.GetKind() + " " + name; w.forms[name] != form {
		w.forms[name], w.turns[name] = form, at
	}
}

// both has the rules of authors' follow, and those of ours that stand before a wildcard's, which the controller writes.
func (w *writes) both(t *testing.T, what string, all int) (between int) {
	t.Helper()
	between = w.follow(t, what, "r", originated)
	if all > originated {
		between += w.follow(t, what+", before a wildcard", "w", all-originated)
	}
	return between
}

// follow waits until each rule whose name begins so turned with its entry, tells how far apart they were, and starts anew. It returns how many were
// further apart than istiod gathers changes for, and requires that some were: proxies are told of one without the other.
func (w *writes) follow(t *testing.T, what, prefix string, want int) (between int) {
	t.Helper()
	var apart map[string]time.Duration
	require.Eventually(t, func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		apart = map[string]time.Duration{}
		for name, at := range w.turns {
			if rule, is := strings.CutPrefix(name, "DestinationRule "); is && strings.HasPrefix(rule, prefix) && !w.turns["ServiceEntry "+rule].IsZero() {
				apart[rule] = at.Sub(w.turns["ServiceEntry "+rule]).Abs()
			}
		}
		return len(apart) == want
	}, within, 50*time.Millisecond, what)
	w.mu.Lock()
	defer w.mu.Unlock()
	for rule, gap := range apart {
		delete(w.turns, "DestinationRule "+rule)
		delete(w.turns, "ServiceEntry "+rule)
		if gap > gathered {
			between++
		}
	}
	sorted := slices.Sorted(maps.Values(apart))
	tell(t, "%s: %d rules with their entries, %v apart in the middle, %v at most", what, len(sorted),
		sorted[len(sorted)/2].Round(time.Millisecond/10), sorted[len(sorted)-1].Round(time.Millisecond/10))
	require.Positive(t, between, "nothing was told between two")
	return between
}

// originated is how many entries have calls that a rule of their own encrypts.
const originated = 24

// covered makes entries whose calls a wildcard's rule of the namespace encrypts, and returns the calls.
func covered(t *testing.T, namespace string, encrypted map[Call]bool) (calls []Call) {
	t.Helper()
	require.NoError(t, tenant.Create(t.Context(), drawer{namespace: namespace}.object("DestinationRule", "wild", encrypting("*.wild."+namespace+".test"))))
	for i := range 8 {
		call := encryptedEntry(t, namespace, fmt.Sprintf("w%d", i), fmt.Sprintf("w%d.wild.%s.test", i, namespace))
		calls, encrypted[call] = append(calls, call), true
	}
	return calls
}

func encrypting(host string) map[string]any {
	return map[string]any{"host": host, "exportTo": []any{"."}, "trafficPolicy": map[string]any{"tls": map[string]any{"mode": "SIMPLE"}}}
}

// encryptedEntry makes an entry of a host that is called in clear and listens by TLS.
func encryptedEntry(t *testing.T, namespace, name, host string) Call {
	t.Helper()
	require.NoError(t, tenant.Create(t.Context(), drawer{namespace: namespace}.object("ServiceEntry", name, map[string]any{
		"hosts": []any{host}, "exportTo": []any{"."}, "resolution": "DNS",
		"ports": []any{map[string]any{"number": int64(80), "name": "http", "protocol": "HTTP", "targetPort": int64(443)}},
	})))
	return Call{host, 80}
}
