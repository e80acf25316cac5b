package controller

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// ClosingOptions are what SetupClosing needs.
type ClosingOptions struct {
	Mesh       *egress.Mesh
	Namespaces Namespaces
	// Fence makes the NetworkPolicies, nil for none.
	Fence *hop.Fence
	// MeshConfig is Istio's ConfigMap.
	MeshConfig types.NamespacedName
	// Synced says whether the namespaces are all known.
	Synced func() bool
}

// SetupClosing runs the controller that closes governed namespaces, for the kinds that are to be kept, and takes away what
// is left of the others. It is nil where nothing is kept.
func SetupClosing(mgr ctrl.Manager, o ClosingOptions) (*Closing, error) {
	out := &Closing{
		mesh: o.Mesh, namespaces: o.Namespaces, fence: o.Fence, meshConfig: o.MeshConfig, synced: o.Synced, open: map[string][]string{},
		unclosed: map[string]bool{},
	}
	gone := &leftovers{live: mgr.GetAPIReader(), writer: mgr.GetClient()}
	if !o.Mesh.Block {
		gone.kinds = append(gone.kinds, sidecarKind)
	}
	if o.Fence == nil {
		gone.kinds = append(gone.kinds, networkPolicyKind)
	}
	if err := mgr.Add(gone); err != nil || len(out.kinds()) == 0 {
		return nil, err
	}
	stored, err := closingCache(mgr, out.kinds())
	if err != nil {
		return nil, fmt.Errorf("cache of what closes namespaces: %w", err)
	}
	out.sidecars = stored
	out.objects = owned{stored: marked{stored}, live: mgr.GetAPIReader(), writer: mgr.GetClient()}
	return out, out.setup(mgr, stored)
}

func (c *Closing) setup(mgr ctrl.Manager, stored cache.Cache) error {
	of, err := controller.NewTyped("closing", mgr, controller.TypedOptions[string]{Reconciler: c})
	if err != nil {
		return err
	}
	errs := []error{of.Watch(source.TypedFunc[string](c.follow))}
	for _, kind := range c.kinds() {
		errs = append(errs, of.Watch(source.TypedKind[client.Object](stored, empty(kind), handler.TypedEnqueueRequestsFromMapFunc(
			func(_ context.Context, object client.Object) []string { return []string{object.GetNamespace()} },
		))))
	}
	return errors.Join(errs...)
}

// closingCache holds all Sidecars, and NetworkPolicies of our name.
func closingCache(mgr ctrl.Manager, kinds []schema.GroupVersionKind) (cache.Cache, error) {
	byObject := map[client.Object]cache.ByObject{}
	for _, kind := range kinds {
		if kind == sidecarKind {
			byObject[empty(kind)] = cache.ByObject{Transform: slimSidecar}
		} else {
			byObject[empty(kind)] = cache.ByObject{Transform: slim, Field: fields.OneTermEqualSelector("metadata.name", hop.ClosingName)}
		}
	}
	return cacheOf(mgr, cache.Options{ByObject: byObject})
}

// slimSidecar keeps of a Sidecar, beside what slim does, what it has to be completed by.
func slimSidecar(obj any) (any, error) {
	object, ok := obj.(*unstructured.Unstructured)
	if !ok {
		return obj, nil
	}
	out, err := slim(object)
	if err != nil || out == obj {
		return out, err
	}
	spec := map[string]any{}
	for _, key := range []string{"workloadSelector", "outboundTrafficPolicy"} {
		if value, given, _ := unstructured.NestedFieldCopy(object.Object, "spec", key); given {
			spec[key] = value
		}
	}
	out.(*unstructured.Unstructured).Object["spec"] = spec
	return out, nil
}

// marked sees those objects of a cache alone that are ours.
type marked struct{ client.Reader }

// Get implements client.Reader.
func (m marked) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	err := m.Reader.Get(ctx, key, object, options...)
	if err == nil && !hop.IsClosing(object) {
		return apierrors.NewNotFound(schema.GroupResource{}, key.Name)
	}
	return err
}

// leftovers takes away, once, what was kept while the configuration said so.
type leftovers struct {
	live   client.Reader
	writer client.Client
	kinds  []schema.GroupVersionKind
}

// Start implements manager.Runnable. It returns when nothing is left, or the context ends.
func (l *leftovers) Start(ctx context.Context) error {
	_ = wait.PollUntilContextCancel(ctx, interval, true, func(ctx context.Context) (bool, error) {
		err := l.clear(ctx)
		if err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "Objects that closed namespaces are left")
		}
		return err == nil, nil
	})
	return nil
}

func (l *leftovers) clear(ctx context.Context) error {
	objects := owned{writer: l.writer}
	var errs []error
	for _, kind := range l.kinds {
		list := emptyList(kind)
		ours := []client.ListOption{client.MatchingFields{"metadata.name": hop.ClosingName}, client.MatchingLabels{hop.ManagedByLabel: hop.Manager}}
		if err := ifKnown(l.live.List(ctx, list, ours...)); err != nil {
			errs = append(errs, fmt.Errorf("list %s: %w", kind.Kind, err))
		}
		for i := range list.Items {
			errs = append(errs, objects.remove(ctx, &list.Items[i]))
		}
	}
	return errors.Join(errs...)
}
