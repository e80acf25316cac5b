package apiserver

import (
	"errors"
	"fmt"
	"regexp"

	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	structuraldefaulting "k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	schemaobjectmeta "k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta"
	structuralpruning "k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/client-go/kubernetes/scheme"
)

// native reads Kubernetes' own kinds as the API server does that is asked by kubectl: a field that it does not know is an error.
var native = json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme.Scheme, scheme.Scheme, json.SerializerOptions{Strict: true})

// Read returns an object as the API server has it before anybody is asked: with the defaults of its kind. The error is the API server's
// answer to one that it cannot read, or that has fields which nobody knows: kubectl asks it to be strict.
func (s *Server) Read(object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	out, wrong, err := s.read(object)
	if err == nil {
		err = unreadable(object.GroupVersionKind(), wrong)
	}
	return out, err
}

// read is Read; wrong is what is wrong with the object.
func (s *Server) read(object *unstructured.Unstructured) (out *unstructured.Unstructured, wrong, err error) {
	kind := object.GroupVersionKind()
	of, err := s.versionOf(kind)
	switch {
	case err != nil:
		return nil, nil, err
	case of == nil && s.definitions[kind.GroupKind()] == nil && scheme.Scheme.Recognizes(kind):
		_, wrong = readNative(object)
		return object, wrong, nil
	case of == nil:
		return object, nil, nil
	}
	out = object.DeepCopy()
	if wrong = of.coerce(out); wrong == nil {
		structuraldefaulting.Default(out.Object, of.structural)
	}
	return out, wrong, nil
}

// unreadable is the API server's answer to what it cannot read.
func unreadable(kind schema.GroupVersionKind, err error) error {
	if err == nil {
		return nil
	}
	return apierrors.NewBadRequest(fmt.Sprintf("%s in version %q cannot be handled as a %s: %v", kind.Kind, kind.Version, kind.Kind, err))
}

// readNative returns an object of one of Kubernetes' own kinds in its type.
func readNative(object *unstructured.Unstructured) (runtime.Object, error) {
	raw, err := object.MarshalJSON()
	if err != nil {
		return nil, err
	}
	out, _, err := native.Decode(raw, nil, nil)
	return out, err
}

// coerce leaves of an object what its schema has. The error names what else there was.
func (v *version) coerce(object *unstructured.Unstructured) error {
	if v.crd.Spec.PreserveUnknownFields {
		return nil
	}
	kind, apiVersion := object.GetKind(), object.GetAPIVersion()
	meta, found, unknown, err := schemaobjectmeta.GetObjectMetaWithOptions(object.Object, schemaobjectmeta.ObjectMetaOptions{ReturnUnknownFieldPaths: true})
	if err != nil {
		return err
	}
	pruned := structuralpruning.PruneWithOptions(object.Object, v.structural, true, structuralschema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})
	structuraldefaulting.PruneNonNullableNullsWithoutDefaults(object.Object, v.structural)
	wrong, embedded := schemaobjectmeta.CoerceWithOptions(nil, object.Object, v.structural, false, schemaobjectmeta.CoerceOptions{ReturnUnknownFieldPaths: true})
	if wrong != nil {
		return wrong
	}
	object.SetKind(kind)
	object.SetAPIVersion(apiVersion)
	if found {
		if err := schemaobjectmeta.SetObjectMeta(object.Object, meta); err != nil {
			return err
		}
	}
	var errs []error
	for _, fields := range [][]string{unknown, pruned, embedded} {
		for _, field := range fields {
			errs = append(errs, fmt.Errorf("unknown field %q", field))
		}
	}
	if len(errs) > 0 {
		return runtime.NewStrictDecodingError(errs)
	}
	return nil
}

// Unknown returns the fields that an error of Read, Applied or ServerSide says nobody knows.
func Unknown(err error) (out []string) {
	var status *apierrors.StatusError
	if !errors.As(err, &status) {
		return nil
	}
	for _, of := range []*regexp.Regexp{unknownField, undeclared} {
		for _, match := range of.FindAllStringSubmatch(status.ErrStatus.Message, -1) {
			out = append(out, match[1])
		}
	}
	return out
}
