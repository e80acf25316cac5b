package controller

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// TestACacheThatLagsIsAskedForNothing: what was created a moment ago is neither written again nor read past the cache.
func TestACacheThatLagsIsAskedForNothing(t *testing.T) {
	t.Parallel()
	s := newStage(t, egresstest.Mesh())
	objects := owned{stored: blind{s.cluster}, writer: s.cluster, expected: newExpected()}
	object := hop.GatewayObject(egresstest.Mesh().Gateways[0], egress.Plain)
	for range 3 {
		require.NoError(t, objects.ensure(t.Context(), object))
	}
	assert.Equal(t, []string{"create Gateway istio-system"}, s.writes)
}

// TestWhatAFailedWriteSaysIsNotExpected.
func TestWhatAFailedWriteSaysIsNotExpected(t *testing.T) {
	t.Parallel()
	s := newStage(t, egresstest.Mesh())
	object := hop.GatewayObject(egresstest.Mesh().Gateways[0], egress.Plain)
	foreign := object.DeepCopy()
	foreign.Labels = nil
	require.NoError(t, s.cluster.Create(t.Context(), foreign))
	objects := owned{stored: labelled{s.cluster}, live: s.cluster, writer: s.cluster, expected: newExpected()}
	for range 2 {
		require.ErrorContains(t, objects.ensure(t.Context(), object), "it is not ours to change")
	}
}

// TestOnlyWhatWasWrittenIsNoNews: an event of an object is, once it says anything else, or says it once more, or that it is gone.
func TestOnlyWhatWasWrittenIsNoNews(t *testing.T) {
	t.Parallel()
	written, err := (&owned{writer: newStage(t, egresstest.Mesh()).cluster}).whole(hop.GatewayObject(egresstest.Mesh().Gateways[0], egress.Plain))
	require.NoError(t, err)
	say, err := sayingOf(written)
	require.NoError(t, err)
	as := func(edit func(*unstructured.Unstructured)) client.Object {
		out := written.DeepCopy()
		edit(out)
		slimmed, err := slim(out)
		require.NoError(t, err)
		return slimmed.(*unstructured.Unstructured)
	}
	same := as(func(*unstructured.Unstructured) {})
	for name, tc := range map[string]struct {
		told []client.Object
		gone bool
		news int
	}{
		"what was written":      {told: []client.Object{same}},
		"twice":                 {told: []client.Object{same, same}, news: 1},
		"another spec":          {told: []client.Object{as(func(of *unstructured.Unstructured) { of.Object["spec"] = map[string]any{"servers": []any{}} })}, news: 1},
		"without its label":     {told: []client.Object{as(func(of *unstructured.Unstructured) { of.SetLabels(nil) })}, news: 1},
		"another object":        {told: []client.Object{as(func(of *unstructured.Unstructured) { of.SetName("other") })}, news: 1},
		"that it is gone again": {told: []client.Object{same}, gone: true, news: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			expected, queue := newExpected(), queueOf[exitKey](t)
			handler := news(expected, keyOf)
			expected.begin(nameOf(written), say, "")
			got := 0
			for _, object := range tc.told {
				if handler.Create(t.Context(), event.TypedCreateEvent[client.Object]{Object: object}, queue); tc.gone {
					handler.Delete(t.Context(), event.TypedDeleteEvent[client.Object]{Object: object}, queue)
				}
				for ; queue.Len() > 0; got++ {
					key, _ := queue.Get()
					queue.Done(key)
				}
			}
			assert.Equal(t, tc.news, got)
		})
	}
}

// TestWhoseHostIsAnotherIsNewsOfBoth: whoever writes another host into an object of ours takes it from the one before.
func TestWhoseHostIsAnotherIsNewsOfBoth(t *testing.T) {
	t.Parallel()
	queue := queueOf[exitKey](t)
	of := func(host string) client.Object {
		out := empty(istio("VirtualService"))
		out.SetNamespace(gateways)
		out.SetAnnotations(map[string]string{hop.HostAnnotation: host})
		return out
	}
	news(newExpected(), keyOf).Update(t.Context(), event.TypedUpdateEvent[client.Object]{ObjectOld: of("a.test"), ObjectNew: of("b.test")}, queue)
	var got []string
	for queue.Len() > 0 {
		key, _ := queue.Get()
		queue.Done(key)
		got = append(got, key.Host)
	}
	assert.Equal(t, []string{"a.test", "b.test"}, got)
}

// TestACacheIsNotWaitedForWithoutEnd: a watch that was away may never tell of an object that came and went meanwhile.
func TestACacheIsNotWaitedForWithoutEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		expected, of, say := newExpected(), objectName{}, said{digest: "a"}
		expected.begin(of, say, "1")
		assert.True(t, expected.has(of, say, "1"))
		assert.False(t, expected.has(of, say, "2"), "the cache knows a later version")
		assert.False(t, expected.has(of, said{digest: "b"}, "1"), "it is to say something else by now")
		time.Sleep(lagsAtMost)
		assert.False(t, expected.has(of, say, "1"))
	})
}

// TestWhatIsNotWantedAnyMoreIsNews, where it was written and the cache has not told of it: it is taken away then.
func TestWhatIsNotWantedAnyMoreIsNews(t *testing.T) {
	t.Parallel()
	s := newStage(t, egresstest.Mesh())
	s.unseen = true
	s.store(defaultEntry("a", "TLS"))
	s.drain()
	entries, routes := s.exit(gateways)
	require.Len(t, entries, 1)
	require.Len(t, routes, 1)
	objects := s.exits.objects.stored
	s.exits.objects.stored = unknowing{objects}
	s.remove("app", "a")
	s.drain()
	s.exits.objects.stored, s.unseen = objects, false
	handler := news(s.exits.objects.expected, s.exits.keyOf)
	for _, kind := range []string{"ServiceEntry", "VirtualService"} {
		list := emptyList(istio(kind))
		require.NoError(t, s.cluster.List(t.Context(), list, client.InNamespace(gateways)))
		for i := range list.Items {
			slimmed, err := slim(&list.Items[i])
			require.NoError(t, err)
			handler.Create(t.Context(), event.TypedCreateEvent[client.Object]{Object: slimmed.(*unstructured.Unstructured)}, s.exitQueue)
		}
	}
	s.drain()
	entries, routes = s.exit(gateways)
	assert.Empty(t, entries)
	assert.Empty(t, routes)
}

// unknowing has nothing, as a cache before its first event.
type unknowing struct{ client.Reader }

func (unknowing) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	return blind{}.Get(ctx, key, object, options...)
}

func (unknowing) List(context.Context, client.ObjectList, ...client.ListOption) error { return nil }

// TestNothingIsDeletedTwiceForACacheThatLags: once more only what failed, or what has changed since.
func TestNothingIsDeletedTwiceForACacheThatLags(t *testing.T) {
	t.Parallel()
	s := newStage(t, egresstest.Mesh())
	s.store(defaultEntry("a", "TLS"))
	s.drain()
	key, writer := exitKey{gateways, host}, &deleting{Client: s.cluster}
	objects := owned{stored: slimReader{s.cluster}, writer: writer, expected: newExpected()}
	entries, _ := s.exit(gateways)
	entry := client.ObjectKeyFromObject(entries[0])
	deletes := func() (out []string) {
		for range 3 {
			err := objects.keepOnly(t.Context(), egresstest.Mesh(), key, nil, s.exits.kinds...)
			require.ErrorIs(t, err, writer.fails)
			require.ErrorIs(t, objects.drop(t.Context(), istio("ServiceEntry"), entry, always), writer.fails)
		}
		out, writer.deletes = writer.deletes, nil
		return out
	}
	assert.ElementsMatch(t, []string{"ServiceEntry", "VirtualService"}, deletes())
	assert.Empty(t, deletes())

	changed := empty(istio("ServiceEntry"))
	require.NoError(t, s.cluster.Get(t.Context(), entry, changed))
	changed.SetFinalizers([]string{"example.com/keep"})
	require.NoError(t, s.cluster.Update(t.Context(), changed))
	assert.Equal(t, []string{"ServiceEntry"}, deletes())

	objects.expected, writer.fails = newExpected(), errors.New("the API server is away")
	assert.Greater(t, len(deletes()), 2)
}

// deleting keeps what it is told to delete, as a cache that lags does.
type deleting struct {
	client.Client
	deletes []string
	fails   error
}

func (d *deleting) Delete(_ context.Context, object client.Object, _ ...client.DeleteOption) error {
	d.deletes = append(d.deletes, object.GetObjectKind().GroupVersionKind().Kind)
	return d.fails
}
