package controller

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	networkpolicyv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// labelled sees objects with our label alone, as the cache of exits does.
type labelled struct{ client.Reader }

func (r labelled) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	err := r.Reader.Get(ctx, key, object, options...)
	if err == nil && object.GetLabels()[hop.ManagedByLabel] != hop.Manager {
		return apierrors.NewNotFound(schema.GroupResource{}, key.Name)
	}
	return err
}

// TestAnyObjectOfOursIsRepaired, of whatever kind: one that is not known would never be.
func TestAnyObjectOfOursIsRepaired(t *testing.T) {
	t.Parallel()
	ours := metav1.ObjectMeta{Namespace: gateways, Name: "x", Labels: map[string]string{hop.ManagedByLabel: hop.Manager}}
	rule := &networkingv1.DestinationRule{ObjectMeta: ours}
	rule.Spec.Host = host
	gateway := &networkingv1.Gateway{ObjectMeta: ours}
	gateway.Spec.Servers = []*networking.Server{{Port: &networking.Port{Number: 80, Name: "http", Protocol: "HTTP"}, Hosts: []string{"*"}}}
	for name, tc := range map[string]struct {
		object hop.Object
		edit   func(spec map[string]any)
	}{
		"DestinationRule": {rule, func(spec map[string]any) { spec["host"] = "evil.test" }},
		"Gateway":         {gateway, func(spec map[string]any) { spec["selector"] = map[string]any{"app": "evil"} }},
		"NetworkPolicy": {
			&networkpolicyv1.NetworkPolicy{ObjectMeta: ours, Spec: networkpolicyv1.NetworkPolicySpec{PolicyTypes: []networkpolicyv1.PolicyType{"Egress"}}},
			func(spec map[string]any) { spec["policyTypes"] = []any{"Ingress"} },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, egresstest.Mesh())
			objects := s.exits.objects
			require.NoError(t, objects.ensure(t.Context(), tc.object))
			require.NoError(t, objects.ensure(t.Context(), tc.object))
			require.Len(t, s.writes, 1)

			want, err := objects.whole(tc.object)
			require.NoError(t, err)
			stored := empty(want.GroupVersionKind())
			require.NoError(t, s.cluster.Get(t.Context(), client.ObjectKeyFromObject(want), stored))
			tc.edit(stored.Object["spec"].(map[string]any))
			require.NoError(t, s.cluster.Update(t.Context(), stored))
			s.writes = nil
			require.NoError(t, objects.ensure(t.Context(), tc.object))
			require.NoError(t, objects.ensure(t.Context(), tc.object))
			assert.Len(t, s.writes, 1)
			require.NoError(t, s.cluster.Get(t.Context(), client.ObjectKeyFromObject(want), stored))
			assert.Equal(t, want.Object["spec"], stored.Object["spec"])
		})
	}
}

// preconditioned deletes as the API server does; the fake client looks at no UID.
func preconditioned(c client.WithWatch) client.WithWatch {
	return interceptor.NewClient(c, interceptor.Funcs{
		Delete: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.DeleteOption) error {
			stored := object.DeepCopyObject().(client.Object)
			if err := c.Get(ctx, client.ObjectKeyFromObject(object), stored); err != nil {
				return err
			}
			if of := (&client.DeleteOptions{}).ApplyOptions(options).Preconditions; of != nil && of.UID != nil && *of.UID != stored.GetUID() {
				return apierrors.NewConflict(schema.GroupResource{}, object.GetName(), errors.New("it is another"))
			}
			return c.Delete(ctx, object, options...)
		},
	})
}

// TestWhatHasTheNameOfOursByNowStays: a cache may know ours still, which somebody deleted, and in whose place an author put his.
func TestWhatHasTheNameOfOursByNowStays(t *testing.T) {
	t.Parallel()
	known := &v1alpha1.EgressPolicy{ObjectMeta: metav1.ObjectMeta{Name: "baseline-a", UID: "ours", Labels: ours}}
	for name, remove := range map[string]func(c client.WithWatch) error{
		"what carries or closes": func(c client.WithWatch) error {
			cached := empty(v1alpha1.GroupVersion.WithKind("EgressPolicy"))
			cached.SetName(known.Name)
			cached.SetUID(known.UID)
			objects := owned{writer: c}
			return objects.remove(t.Context(), cached)
		},
		"a baseline": func(c client.WithWatch) error {
			cache := interceptor.NewClient(c, interceptor.Funcs{
				List: func(_ context.Context, _ client.WithWatch, into client.ObjectList, _ ...client.ListOption) error {
					into.(*v1alpha1.EgressPolicyList).Items = []v1alpha1.EgressPolicy{*known}
					return nil
				},
			})
			return (&Baseline{Client: cache}).keep(t.Context())
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for uid, stays := range map[types.UID]bool{"ours": false, "theirs": true} {
				c := preconditioned(policiesIn(t, &v1alpha1.EgressPolicy{ObjectMeta: metav1.ObjectMeta{Name: known.Name, UID: uid}}))
				err := remove(c)
				missing := apierrors.IsNotFound(c.Get(t.Context(), client.ObjectKeyFromObject(known), &v1alpha1.EgressPolicy{}))
				assert.Equal(t, stays, err != nil, uid)
				assert.Equal(t, stays, !missing, uid)
				if stays {
					require.NoError(t, c.Delete(t.Context(), known.DeepCopy()))
					require.NoError(t, remove(c), "nothing is there any more")
				}
			}
		})
	}
}

func TestSlimKeepsWhatIsComparedAndNothingElse(t *testing.T) {
	t.Parallel()
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
		"metadata": map[string]any{"name": "x", "labels": map[string]any{"a": "b"}, "managedFields": []any{map[string]any{"manager": "m"}}},
		"spec":     map[string]any{"hosts": []any{host}}, "status": map[string]any{"observedGeneration": int64(1)},
	}}
	sum, err := digest(object)
	require.NoError(t, err)
	out, err := slim(object)
	require.NoError(t, err)
	assert.Equal(t, map[string]any{
		"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
		"metadata": map[string]any{"name": "x", "labels": map[string]any{"a": "b"}}, "digest": sum,
	}, out.(*unstructured.Unstructured).Object)
	again, err := slim(out)
	require.NoError(t, err)
	assert.Equal(t, out, again)
}

// TestACacheThatLagsIsNoReasonToComplain: what was created a moment ago is ours, and up to date.
func TestACacheThatLagsIsNoReasonToComplain(t *testing.T) {
	t.Parallel()
	s := newStage(t, egresstest.Mesh())
	object := hop.GatewayObject(egresstest.Mesh().Gateways[0], egress.Plain)
	require.NoError(t, s.exits.objects.ensure(t.Context(), object))
	s.exits.objects.stored = blind{s.exits.objects.stored}
	require.NoError(t, s.exits.objects.ensure(t.Context(), object))
	object.Spec.Selector = map[string]string{"app": "other"}
	require.NoError(t, s.exits.objects.ensure(t.Context(), object))
	stored := &networkingv1.Gateway{}
	require.NoError(t, s.cluster.Get(t.Context(), client.ObjectKeyFromObject(object), stored))
	assert.Equal(t, "other", stored.Spec.Selector["app"])
}

// blind sees nothing, as a cache before its first event.
type blind struct{ client.Reader }

func (blind) Get(_ context.Context, key client.ObjectKey, _ client.Object, _ ...client.GetOption) error {
	return apierrors.NewNotFound(schema.GroupResource{}, key.Name)
}
