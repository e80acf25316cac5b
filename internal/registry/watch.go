package registry

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Watch fills the registry from a cache. Call it before the cache starts; Synced is true once everything that was
// stored at start has been taken in. Istio's kinds are read as they are stored, so that a field this program does not
// know is no reason to miss an object.
func (r *Registry) Watch(ctx context.Context, cache cache.Cache) (synced func() bool, err error) {
	var registrations []toolscache.ResourceEventHandlerRegistration
	for _, source := range r.sources() {
		informer, err := cache.GetInformer(ctx, source.kind)
		if err != nil {
			return nil, fmt.Errorf("watch %T: %w", source.kind, err)
		}
		registration, err := informer.AddEventHandler(source.handler())
		if err != nil {
			return nil, fmt.Errorf("watch %T: %w", source.kind, err)
		}
		registrations = append(registrations, registration)
	}
	return func() bool {
		for _, registration := range registrations {
			if !registration.HasSynced() {
				return false
			}
		}
		return true
	}, nil
}

type source struct {
	kind   client.Object
	put    func(obj any)
	remove func(namespace, name string)
}

func (r *Registry) sources() []source {
	return []source{
		{&corev1.Namespace{}, func(obj any) {
			if namespace, ok := obj.(*corev1.Namespace); ok {
				r.PutNamespace(namespace.Name, namespace.Labels)
			}
		}, func(_, name string) { r.DeleteNamespace(name) }},
		{&corev1.Service{}, func(obj any) {
			if service, ok := obj.(*corev1.Service); ok {
				r.PutService(service)
			}
		}, r.DeleteService},
		{istio("ServiceEntry"), raw(r.PutEntry), r.DeleteEntry},
		{istio("DestinationRule"), raw(r.PutRule), r.DeleteRule},
	}
}

func raw(put func(*unstructured.Unstructured)) func(any) {
	return func(obj any) {
		if object, ok := obj.(*unstructured.Unstructured); ok {
			put(object)
		}
	}
}

func istio(kind string) *unstructured.Unstructured {
	out := &unstructured.Unstructured{}
	out.SetGroupVersionKind(schema.GroupVersionKind{Group: "networking.istio.io", Version: "v1", Kind: kind})
	return out
}

func (s source) handler() toolscache.ResourceEventHandler {
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc:    s.put,
		UpdateFunc: func(_, obj any) { s.put(obj) },
		DeleteFunc: func(obj any) {
			if key, err := toolscache.DeletionHandlingMetaNamespaceKeyFunc(obj); err == nil {
				if namespace, name, err := toolscache.SplitMetaNamespaceKey(key); err == nil {
					s.remove(namespace, name)
				}
			}
		},
	}
}
