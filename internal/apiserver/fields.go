package apiserver

import (
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuraldefaulting "k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/controller/openapi/builder"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/client-go/applyconfigurations"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/kube-openapi/pkg/spec3"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// Who owns which field of an object, as server-side apply goes by it.

// lastAppliedField is by what kubectl tells who applied on the side of the client.
var lastAppliedField = fieldpath.NewSet(fieldpath.MakePathOrDie("metadata", "annotations", corev1.LastAppliedConfigAnnotation))

// nativeTypes knows the fields of Kubernetes' own kinds.
var nativeTypes = sync.OnceValue(func() managedfields.TypeConverter { return applyconfigurations.NewTypeConverter(scheme.Scheme) })

// fields returns who keeps the owners of fields of a kind.
func (s *Server) fields(kind schema.GroupVersionKind) (*managedfields.FieldManager, error) {
	of, err := s.versionOf(kind)
	if err != nil {
		return nil, err
	}
	types, resets := managedfields.NewDeducedTypeConverter(), map[fieldpath.APIVersion]*fieldpath.Set{}
	switch {
	case of != nil:
		if types, err = s.definitions[kind.GroupKind()].types(); err != nil {
			return nil, fmt.Errorf("CustomResourceDefinition %s: %w", of.crd.Name, err)
		}
		if of.status {
			resets[fieldpath.APIVersion(kind.GroupVersion().String())] = fieldpath.NewSet(fieldpath.MakePathOrDie("status"))
		}
	case applyconfigurations.ForKind(kind) != nil:
		types = nativeTypes()
	}
	return managedfields.NewDefaultCRDFieldManager(types, convertor{}, defaulter{of}, maker{}, kind, kind.GroupVersion(), "", fieldpath.NewExcludeFilterSetMap(resets))
}

// typesOf makes of a definition what the API server makes of it for server-side apply.
func typesOf(crd *apiextensionsv1.CustomResourceDefinition) (managedfields.TypeConverter, error) {
	var specs []*spec3.OpenAPI
	for _, each := range crd.Spec.Versions {
		of, err := builder.BuildOpenAPIV3(crd, each.Name, builder.Options{})
		if err != nil {
			return nil, err
		}
		specs = append(specs, of)
	}
	merged, err := builder.MergeSpecsV3(specs...)
	if err != nil {
		return nil, err
	}
	return managedfields.NewTypeConverter(merged.Components.Schemas, crd.Spec.PreserveUnknownFields)
}

// types returns the fields of a kind in all of its versions. Who asks for a version has read the definition.
func (d *definition) types() (managedfields.TypeConverter, error) {
	d.lock.Lock()
	defer d.lock.Unlock()
	if d.typed == nil {
		crd, err := d.read()
		if err != nil {
			return nil, err
		}
		if d.typed, err = typesOf(crd); err != nil {
			return nil, err
		}
	}
	return d.typed, nil
}

// defaulter gives objects the defaults of a version; of Kubernetes' own kinds none.
type defaulter struct{ *version }

// Default implements runtime.ObjectDefaulter.
func (d defaulter) Default(in runtime.Object) {
	if of, is := in.(*unstructured.Unstructured); is && d.version != nil {
		structuraldefaulting.Default(of.Object, d.structural)
	}
}
