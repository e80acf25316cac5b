package audit

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
)

// Watch follows from a cache what changes of objects and of EgressPolicies, beside the specs of these: they are judged by
// once they are in force. What not every mesh has, or a policy must ask for, is not followed, and judged again with everything.
func (a *Auditor) Watch(ctx context.Context, from cache.Cache) error {
	for _, kind := range kinds {
		if !ofMesh(kind) {
			continue
		}
		object := &unstructured.Unstructured{}
		object.SetGroupVersionKind(gvk(kind))
		informer, err := from.GetInformer(ctx, object)
		if err != nil {
			return fmt.Errorf("watch %s: %w", kind, err)
		}
		touched := func(obj any) {
			if unknown, is := obj.(toolscache.DeletedFinalStateUnknown); is {
				obj = unknown.Obj
			}
			if object, err := meta.Accessor(obj); err == nil {
				a.Touched(kind, object.GetNamespace(), object.GetName())
			}
		}
		_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{AddFunc: touched, UpdateFunc: func(_, obj any) { touched(obj) }, DeleteFunc: touched})
		if err != nil {
			return fmt.Errorf("watch %s: %w", kind, err)
		}
	}
	informer, err := from.GetInformer(ctx, &v1alpha1.EgressPolicy{})
	if err != nil {
		return fmt.Errorf("watch EgressPolicies: %w", err)
	}
	_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{UpdateFunc: func(old, next any) {
		was, is := old.(*v1alpha1.EgressPolicy), next.(*v1alpha1.EgressPolicy)
		if was.Annotations[v1alpha1.AnnotationConfirmSuspend] != is.Annotations[v1alpha1.AnnotationConfirmSuspend] {
			a.Changed()
		}
	}})
	return err
}
