package registry

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// source is a kind that the registry is filled from. Istio's kinds are read as they are stored, so that a field this
// program does not know is no reason to miss an object.
type source struct {
	kind client.Object
	// keep returns what the cache keeps of an object: what is used and nothing else.
	keep   func(obj any) any
	put    func(kept any)
	remove func(namespace, name string)
}

func (r *Registry) sources() []source {
	return []source{
		{&corev1.Namespace{}, slimNamespace, r.putNamespace, func(_, name string) { r.DeleteNamespace(name) }},
		{&corev1.Service{}, slimService, r.putService, r.DeleteService},
		{istio("ServiceEntry"), r.slimEntry, r.putEntry, r.DeleteEntry},
		{istio("DestinationRule"), r.slimRule, r.putRule, r.DeleteRule},
		{istio("VirtualService"), r.slimRoutes, r.putRoutes, r.DeleteRoutes},
		{istio("Gateway"), r.slimBinding, r.putBinding, r.DeleteBinding},
		{&corev1.Pod{}, slimPod, r.putPod, r.DeletePod},
		{&corev1.ServiceAccount{}, slimAccount, r.putAccount, r.DeleteAccount},
	}
}

// Caches returns how the cache that Watch is given must keep the registry's kinds. For the kinds of Istio and for
// Services it holds no whole objects, so nothing else can read them from there.
func (r *Registry) Caches() map[client.Object]cache.ByObject {
	out := map[client.Object]cache.ByObject{}
	for _, s := range r.sources() {
		by := cache.ByObject{Transform: func(obj any) (any, error) { return s.keep(obj), nil }}
		if _, pods := s.kind.(*corev1.Pod); pods {
			by.Namespaces = map[string]cache.Config{}
			for _, gw := range r.mesh.Gateways {
				by.Namespaces[gw.Namespace()] = cache.Config{}
			}
		}
		out[s.kind] = by
	}
	return out
}

// Watch fills the registry from a cache. Call it before the cache starts; synced is true once everything that was
// stored at start has been taken in.
func (r *Registry) Watch(ctx context.Context, from cache.Cache) (synced func() bool, err error) {
	var registrations []toolscache.ResourceEventHandlerRegistration
	for _, s := range r.sources() {
		informer, err := from.GetInformer(ctx, s.kind)
		if err != nil {
			return nil, fmt.Errorf("watch %T: %w", s.kind, err)
		}
		registration, err := informer.AddEventHandler(s.handler())
		if err != nil {
			return nil, fmt.Errorf("watch %T: %w", s.kind, err)
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

func istio(kind string) *unstructured.Unstructured {
	out := &unstructured.Unstructured{}
	out.SetGroupVersionKind(schema.GroupVersionKind{Group: "networking.istio.io", Version: "v1", Kind: kind})
	return out
}

// identity is what a cache needs of any object.
func identity(of metav1.Object) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: of.GetNamespace(), Name: of.GetName(), UID: of.GetUID(), ResourceVersion: of.GetResourceVersion()}
}

// slimNamespace keeps what policies select by and read.
func slimNamespace(obj any) any {
	namespace, ok := obj.(*corev1.Namespace)
	if !ok {
		return obj
	}
	out := &corev1.Namespace{ObjectMeta: identity(namespace)}
	out.Labels, out.Annotations = namespace.Labels, namespace.Annotations
	return out
}

func (r *Registry) putNamespace(kept any) {
	if namespace, ok := kept.(*corev1.Namespace); ok {
		r.PutNamespace(namespace.Name, namespace.Labels)
	}
}

func (r *Registry) slimEntry(obj any) any {
	if object, ok := obj.(*unstructured.Unstructured); ok {
		return r.Read(object)
	}
	return obj
}

func (r *Registry) putEntry(kept any) {
	if stored, ok := kept.(*Stored); ok {
		r.PutEntry(stored)
	}
}

func (r *Registry) slimRule(obj any) any {
	if object, ok := obj.(*unstructured.Unstructured); ok {
		return r.ReadRule(object)
	}
	return obj
}

func (r *Registry) putRule(kept any) {
	rule, ok := kept.(*StoredRule)
	switch {
	case ok && rule.Rule == nil:
		// One of ours may have been an author's before.
		r.DeleteRule(rule.Identity.Namespace, rule.Identity.Name)
	case ok:
		r.PutRule(rule.Rule)
	}
}
