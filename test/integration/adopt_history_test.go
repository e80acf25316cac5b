package integration

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/test/controlplane"
)

// history are the events of entries in a namespace, and of routes in the gateway's, in the order in which they were stored.
type history struct {
	mu     sync.Mutex
	events []watch.Event
	ns     string
	// first and last are when the first and the last of entries' own words were stored, forms what these were, before what they were at first.
	first, last   time.Time
	forms, before map[string]string
}

// recorded watches them as long as the test runs.
func recorded(t *testing.T, ns string) *history {
	t.Helper()
	watching, err := client.NewWithWatch(shared.Config, client.Options{Scheme: shared.Client.Scheme()})
	require.NoError(t, err)
	out := &history{ns: ns, forms: map[string]string{}, before: map[string]string{}}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	t.Cleanup(cancel)
	for kind, in := range map[string]string{"ServiceEntry": ns, "VirtualService": controlplane.GatewayNamespace} {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(schema.GroupVersionKind{Group: "networking.istio.io", Version: "v1", Kind: kind + "List"})
		require.NoError(t, watching.List(ctx, list, client.InNamespace(in)))
		for i := range list.Items {
			// What says nothing of its words may still be written, as its status.
			if name, form := wordOf(watch.Event{Object: &list.Items[i]}); name != "" {
				out.forms[name], out.before[name] = form, form
			}
		}
		from, err := watching.Watch(ctx, list, client.InNamespace(in), &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: list.GetResourceVersion()}})
		require.NoError(t, err)
		go func() {
			for event := range from.ResultChan() {
				out.saw(event, time.Now())
			}
		}()
	}
	return out
}

func (h *history) saw(event watch.Event, at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, event)
	if name, form := wordOf(event); name != "" && h.forms[name] != form {
		h.forms[name], h.last = form, at
		if h.first.IsZero() {
			h.first = at
		}
	}
}

// wordOf returns an entry's own words, with its name; no name for what is no entry.
func wordOf(event watch.Event) (name, form string) {
	object, is := event.Object.(*unstructured.Unstructured)
	if !is || object.GetKind() != "ServiceEntry" {
		return "", ""
	}
	return object.GetName(), fmt.Sprint(object.GetAnnotations(), object.Object["spec"])
}

// written counts the writes of entries' own words.
func (h *history) written() (out int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	seen := maps.Clone(h.before)
	for _, event := range h.events {
		if name, form := wordOf(event); name != "" && seen[name] != form {
			out++
			seen[name] = form
		}
	}
	return out
}

// turns are when the entry of a host was first sealed, and first plain again after that, and when its exit came and went; 0 for never.
func (h *history) turns(t *testing.T, host string) (sealed, plain, came, went int) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, event := range h.events {
		object, is := event.Object.(*unstructured.Unstructured)
		if !is {
			continue
		}
		at := version(t, event)
		switch {
		case object.GetKind() == "VirtualService" && object.GetAnnotations()[hop.HostAnnotation] == host && event.Type == watch.Deleted:
			went = at
		case object.GetKind() == "VirtualService" && object.GetAnnotations()[hop.HostAnnotation] == host && came == 0:
			came = at
		case object.GetKind() != "ServiceEntry" || !strings.Contains(fmt.Sprint(object.Object["spec"]), host):
		case isSealed(object) && sealed == 0:
			sealed = at
		case !isSealed(object) && sealed != 0 && plain == 0:
			plain = at
		}
	}
	return sealed, plain, came, went
}

func (h *history) exitsCameFirst(t *testing.T, hosts ...string) {
	t.Helper()
	for _, host := range hosts {
		eventually(t, func() bool { sealed, _, came, _ := h.turns(t, host); return sealed != 0 && came != 0 }, host)
		sealed, _, came, went := h.turns(t, host)
		assert.Less(t, came, sealed, "%s: the exit stands before the entry leads there", host)
		assert.Zero(t, went, host)
	}
}

func (h *history) exitsStayedUntilUnsealed(t *testing.T, hosts ...string) {
	t.Helper()
	for _, host := range hosts {
		eventually(t, func() bool { _, plain, _, went := h.turns(t, host); return plain != 0 && went != 0 }, host)
		_, plain, _, went := h.turns(t, host)
		assert.Greater(t, went, plain, "%s: the exit stands as long as the entry leads there", host)
	}
}
