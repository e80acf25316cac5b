// Package apiserver answers as an API server does by itself, by its own code: it reads an object by the schema of its kind, and
// holds what is to be stored to that schema, to the rules of its CustomResourceDefinition and to guards.
package apiserver

import (
	"fmt"
	"maps"
	"slices"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Server has the definitions of kinds, and guards. It is not safe for concurrent use, but copies of it are beside each other.
type Server struct {
	definitions map[schema.GroupKind]*definition
	guards      map[string]*guard
	bindings    map[string]*admissionv1.ValidatingAdmissionPolicyBinding
	rights      Rights
}

// New returns an API server that knows Kubernetes' own kinds, Istio's of the version that this program is built with, and EgressPolicy;
// no guard is in force.
func New() *Server {
	return &Server{definitions: maps.Clone(ours()), guards: map[string]*guard{}, bindings: map[string]*admissionv1.ValidatingAdmissionPolicyBinding{}, rights: Administrators{}}
}

// Clone returns a copy to which others may be added. What was compiled for one is there for all.
func (s *Server) Clone() *Server {
	return &Server{definitions: maps.Clone(s.definitions), guards: maps.Clone(s.guards), bindings: maps.Clone(s.bindings), rights: s.rights}
}

// Guards says whether an object is one of those that guards are made of.
func Guards(object *unstructured.Unstructured) bool {
	return object.GroupVersionKind().Group == admissionv1.GroupName &&
		slices.Contains([]string{"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}, object.GetKind())
}

// Defines says whether an object defines a kind.
func Defines(object *unstructured.Unstructured) bool {
	return object.GroupVersionKind() == apiextensionsv1.SchemeGroupVersion.WithKind("CustomResourceDefinition")
}

// Put has the server go by an object, if it defines a kind or is of a guard. The error is that of one that is not of its kind.
func (s *Server) Put(object *unstructured.Unstructured) error {
	switch {
	case Defines(object):
		crd := &apiextensionsv1.CustomResourceDefinition{}
		if err := typed(object, crd); err != nil {
			return err
		}
		s.definitions[schema.GroupKind{Group: crd.Spec.Group, Kind: crd.Spec.Names.Kind}] = defined(crd)
	case !Guards(object):
	case object.GetKind() == "ValidatingAdmissionPolicy":
		policy := &admissionv1.ValidatingAdmissionPolicy{}
		if err := typed(object, policy); err != nil {
			return err
		}
		s.guards[policy.Name] = newGuard(policy)
	default:
		binding := &admissionv1.ValidatingAdmissionPolicyBinding{}
		if err := typed(object, binding); err != nil {
			return err
		}
		defaultMatch(binding.Spec.MatchResources)
		s.bindings[binding.Name] = binding
	}
	return nil
}

func typed(object *unstructured.Unstructured, into any) error {
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, into); err != nil {
		return fmt.Errorf("%s %s: %w", object.GetKind(), object.GetName(), err)
	}
	return nil
}
