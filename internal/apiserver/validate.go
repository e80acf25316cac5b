package apiserver

import (
	"cmp"
	"context"
	"errors"
	"regexp"

	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel/model"
	structurallisttype "k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	schemaobjectmeta "k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta"
	apiservervalidation "k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/operation"
	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/cel/common"
)

// errStale is the API server's word for an object that its author had read before somebody else wrote it.
var errStale = errors.New("the object has been modified; please apply your changes to the latest version and try again")

// unknownField and undeclared are how the API server names a field that nobody knows, of objects and of what is applied to them.
var (
	unknownField = regexp.MustCompile(`unknown field \\?"([^"\\]+)\\?"`)
	undeclared   = regexp.MustCompile(`\.(\S+): field not declared in schema`)
)

// Validate holds an object that is to be stored, in the place of an old one or of none, to the schema and the rules of its kind. The
// error is the API server's answer; warnings are what the author reads besides. Of Kubernetes' own kinds nothing is asked here: what they
// must be no library has.
func (s *Server) Validate(ctx context.Context, object, old *unstructured.Unstructured) (warnings []string, err error) {
	kind := object.GroupVersionKind()
	of, err := s.versionOf(kind)
	if err != nil || of == nil {
		return nil, err
	}
	object = object.DeepCopy()
	if of.status {
		delete(object.Object, "status")
	}
	var errs field.ErrorList
	if old == nil {
		object.SetGeneration(1)
		errs = of.create(ctx, object)
	} else {
		if status, is := old.Object["status"]; is && of.status {
			object.Object["status"] = status
		}
		if version := object.GetResourceVersion(); version != "" && old.GetResourceVersion() != "" && version != old.GetResourceVersion() {
			resource, _ := s.resource(kind, of)
			return nil, apierrors.NewConflict(resource.GroupResource(), object.GetName(), errStale)
		}
		// It is as new as what it takes the place of, and the same where it does not say otherwise.
		object.SetResourceVersion(cmp.Or(old.GetResourceVersion(), "1"))
		object.SetUID(cmp.Or(object.GetUID(), old.GetUID()))
		object.SetCreationTimestamp(old.GetCreationTimestamp())
		object.SetGeneration(old.GetGeneration())
		errs = of.update(ctx, object, old)
	}
	if len(errs) > 0 {
		return nil, apierrors.NewInvalid(kind.GroupKind(), object.GetName(), errs)
	}
	return finalizers(object, old), nil
}

// create is what the API server's strategy for custom resources asks of a new one.
func (v *version) create(ctx context.Context, object *unstructured.Unstructured) field.ErrorList {
	errs := v.metadata(ctx, object, nil)
	errs = append(errs, apiservervalidation.ValidateCustomResource(nil, object.Object, v.schema)...)
	errs = append(errs, schemaobjectmeta.Validate(ctx, nil, object.Object, v.structural, false)...)
	errs = append(errs, structurallisttype.ValidateListSetsAndMaps(nil, v.structural, object.Object)...)
	return append(errs, v.judge(ctx, object, nil, errs)...)
}

// update is what it asks of one that takes the place of another: what was wrong and stays as it was may stay.
func (v *version) update(ctx context.Context, object, old *unstructured.Unstructured) field.ErrorList {
	same := common.NewCorrelatedObject(object.Object, old.Object, &model.Structural{Structural: v.structural})
	errs := v.metadata(ctx, object, old)
	errs = append(errs, apiservervalidation.ValidateCustomResourceUpdate(nil, object.Object, old.Object, v.schema, apiservervalidation.WithRatcheting(same))...)
	errs = append(errs, schemaobjectmeta.Validate(ctx, nil, object.Object, v.structural, false)...)
	if len(structurallisttype.ValidateListSetsAndMaps(nil, v.structural, old.Object)) == 0 {
		errs = append(errs, structurallisttype.ValidateListSetsAndMaps(nil, v.structural, object.Object)...)
	}
	return append(errs, v.judge(ctx, object, old, errs, cel.WithRatcheting(same))...)
}

func (v *version) namespaced() bool { return v.crd.Spec.Scope == "Namespaced" }

// judge asks the rules in CEL, which the API server does only of what they can be asked of.
func (v *version) judge(ctx context.Context, object, old *unstructured.Unstructured, wrong field.ErrorList, options ...cel.Option) field.ErrorList {
	if v.rules == nil {
		return nil
	}
	for _, err := range wrong {
		switch err.Type {
		case field.ErrorTypeNotSupported, field.ErrorTypeRequired, field.ErrorTypeTooLong, field.ErrorTypeTooMany, field.ErrorTypeTypeInvalid:
			return field.ErrorList{field.Invalid(nil, nil, "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation")}
		}
	}
	var before any // a nil map would be taken for an old object
	if old != nil {
		before = old.Object
	}
	errs, _ := v.rules.Validate(ctx, nil, v.structural, object.Object, before, celconfig.RuntimeCELCostBudget, options...)
	return errs
}

// metadata is what the API server asks of the metadata of any object, and of how it differs from what was there.
func (v *version) metadata(ctx context.Context, object, old *unstructured.Unstructured) (errs field.ErrorList) {
	path, now, before := field.NewPath("metadata"), &metav1.ObjectMeta{}, &metav1.ObjectMeta{}
	if err := partial(object, now); err != nil {
		return field.ErrorList{field.Invalid(path, object.Object["metadata"], err.Error())}
	}
	if old == nil {
		return validation.ValidateObjectMetaDeclaratively(ctx, operation.Create, now, nil, v.namespaced(), validation.NameIsDNSSubdomain, path, true)
	}
	if err := partial(old, before); err != nil {
		return field.ErrorList{field.Invalid(path, old.Object["metadata"], err.Error())}
	}
	segment := func(name string, prefix bool) []string {
		if prefix {
			return content.IsPathSegmentPrefix(name)
		}
		return content.IsPathSegmentName(name)
	}
	errs = validation.ValidateObjectMetaAccessor(now, v.namespaced(), segment, path)
	errs = append(errs, validation.ValidateObjectMetaAccessorUpdate(now, before, path)...)
	return append(errs, validation.ValidateObjectMetaDeclaratively(ctx, operation.Update, now, before, v.namespaced(), nil, path, true)...)
}

func partial(object *unstructured.Unstructured, into *metav1.ObjectMeta) error {
	metadata, _ := object.Object["metadata"].(map[string]any)
	return runtime.DefaultUnstructuredConverter.FromUnstructured(metadata, into)
}
