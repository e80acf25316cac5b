package apiserver

import (
	"errors"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	listersv1 "k8s.io/client-go/listers/core/v1"
)

// interfaces are what admission needs of the kind of an object: versions differ in their name alone.
type interfaces struct {
	mapper runtime.EquivalentResourceMapper
}

// GetObjectCreater implements admission.ObjectInterfaces.
func (interfaces) GetObjectCreater() runtime.ObjectCreater { return maker{} }

// GetObjectTyper implements admission.ObjectInterfaces.
func (interfaces) GetObjectTyper() runtime.ObjectTyper { return nil }

// GetObjectDefaulter implements admission.ObjectInterfaces.
func (interfaces) GetObjectDefaulter() runtime.ObjectDefaulter { return nil }

// GetObjectConvertor implements admission.ObjectInterfaces.
func (interfaces) GetObjectConvertor() runtime.ObjectConvertor { return convertor{} }

// GetEquivalentResourceMapper implements admission.ObjectInterfaces.
func (i interfaces) GetEquivalentResourceMapper() runtime.EquivalentResourceMapper { return i.mapper }

type maker struct{}

// New implements runtime.ObjectCreater.
func (maker) New(kind schema.GroupVersionKind) (runtime.Object, error) {
	out := &unstructured.Unstructured{}
	out.SetGroupVersionKind(kind)
	return out, nil
}

// convertor is that of CRDs without a webhook.
type convertor struct{ runtime.ObjectConvertor }

// Convert implements runtime.ObjectConvertor.
func (convertor) Convert(in, out, _ any) error {
	from, is := in.(*unstructured.Unstructured)
	to, as := out.(*unstructured.Unstructured)
	if !is || !as {
		return errors.New("is not of a custom resource")
	}
	kind := to.GroupVersionKind()
	to.Object = maps.Clone(from.Object)
	to.SetGroupVersionKind(kind)
	return nil
}

// ConvertToVersion implements runtime.ObjectConvertor.
func (c convertor) ConvertToVersion(in runtime.Object, version runtime.GroupVersioner) (runtime.Object, error) {
	from, is := in.(*unstructured.Unstructured)
	if !is {
		return nil, errors.New("is not of a custom resource")
	}
	kind, is := version.KindForGroupVersionKinds([]schema.GroupVersionKind{from.GroupVersionKind()})
	if !is {
		return nil, fmt.Errorf("%s has no version %s", from.GetKind(), version.Identifier())
	}
	out := &unstructured.Unstructured{Object: maps.Clone(from.Object)}
	out.SetGroupVersionKind(kind)
	return out, nil
}

// lister knows the namespace of one request.
type lister struct {
	namespace *unstructured.Unstructured
}

var _ listersv1.NamespaceLister = lister{}

// Get implements listersv1.NamespaceLister. Who is asked about objects of a namespace has it.
func (l lister) Get(name string) (*corev1.Namespace, error) {
	out := &corev1.Namespace{}
	out.Name, out.Labels = name, map[string]string{corev1.LabelMetadataName: name}
	if l.namespace == nil {
		return out, nil
	}
	return out, typed(l.namespace, out)
}

// List implements listersv1.NamespaceLister.
func (l lister) List(labels.Selector) ([]*corev1.Namespace, error) { return nil, nil }

// plural is what kinds that are not defined here are served as: Kubernetes' own, and the Gateway API's.
func plural(kind schema.GroupVersionKind) schema.GroupVersionResource {
	if kind.Kind == "Gateway" { // guessed, it is "gatewaies"
		return kind.GroupVersion().WithResource("gateways")
	}
	out, _ := meta.UnsafeGuessKindToResource(kind)
	return out
}
