package apiserver

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
	kubeversion "k8s.io/apimachinery/pkg/version"
)

// Deprecation returns what the API server warns of whoever uses a version of a kind.
func (s *Server) Deprecation(kind schema.GroupVersionKind) []string {
	of, err := s.versionOf(kind)
	if err != nil || of == nil {
		return nil
	}
	i := slices.IndexFunc(of.crd.Spec.Versions, func(each apiextensionsv1.CustomResourceDefinitionVersion) bool { return each.Name == kind.Version })
	switch each := of.crd.Spec.Versions[i]; {
	case !each.Deprecated:
		return nil
	case each.DeprecationWarning != nil:
		return []string{*each.DeprecationWarning}
	}
	out := fmt.Sprintf("%s/%s %s is deprecated", kind.Group, kind.Version, kind.Kind)
	newer := ""
	for _, each := range of.crd.Spec.Versions {
		if each.Served && !each.Deprecated && kubeversion.CompareKubeAwareVersionStrings(each.Name, cmp.Or(newer, kind.Version)) > 0 {
			newer = each.Name
		}
	}
	if newer != "" {
		out += fmt.Sprintf("; use %s/%s %s", kind.Group, newer, kind.Kind)
	}
	return []string{out}
}

var standardFinalizers = []string{metav1.FinalizerOrphanDependents, metav1.FinalizerDeleteDependents, string(corev1.FinalizerKubernetes)}

// finalizers returns what the API server warns of those that an object newly has.
func finalizers(object, old *unstructured.Unstructured) (out []string) {
	names := slices.Sorted(slices.Values(object.GetFinalizers()))
	for _, name := range slices.Compact(names) {
		if old != nil && slices.Contains(old.GetFinalizers(), name) {
			continue
		}
		for _, message := range validation.IsQualifiedName(name) {
			out = append(out, fmt.Sprintf("metadata.finalizers: %q: %s", name, message))
		}
		switch {
		case strings.Contains(name, "/") || slices.Contains(standardFinalizers, name):
		case strings.Contains(name, "."):
			out = append(out, fmt.Sprintf("metadata.finalizers: %q: prefer a domain-qualified finalizer name including a path (/) to avoid accidental conflicts with other finalizer writers", name))
		default:
			out = append(out, fmt.Sprintf("metadata.finalizers: %q: prefer a domain-qualified finalizer name to avoid accidental conflicts with other finalizer writers", name))
		}
	}
	return out
}
