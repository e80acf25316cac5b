package dryrun

import (
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/internal/manifest"
	"github.com/egress-governor/egress-governor/internal/review"
)

// Render returns the objects that were applied in the form in which they are stored, and whatever the controllers then make or
// change. What was stored already and stays as it is, is left out. The error names the host that can have no exit.
func (s *Session) Render(answers []Answer) ([]*unstructured.Unstructured, error) {
	applied := map[string]bool{}
	for _, answer := range answers {
		if answer.Allowed() {
			applied[keyOf(answer.Unstructured)] = true
		}
	}
	objects, err := s.cluster.Objects()
	if err != nil {
		return nil, err
	}
	var out []*unstructured.Unstructured
	for _, object := range objects {
		given := s.given[keyOf(object)]
		if !applied[keyOf(object)] && given != nil && equality.Semantic.DeepEqual(Bare(given), Bare(object)) {
			continue
		}
		out = append(out, Bare(object))
	}
	return out, nil
}

// Held returns all that the cluster holds once the controllers are done, and what is taken for granted of objects that were stored
// already, and of namespaces. The error names the host that can have no exit.
func (s *Session) Held(stored []manifest.Object, namespaces ...string) ([]*unstructured.Unstructured, error) {
	for _, namespace := range namespaces {
		stored = append(stored[:len(stored):len(stored)], manifest.Object{Unstructured: core("Namespace", "", namespace)})
	}
	if err := s.assume(stored...); err != nil {
		return nil, err
	}
	return s.cluster.Objects()
}

// Given returns what was stored already under the name of an object, nil for nothing.
func (s *Session) Given(object *unstructured.Unstructured) *unstructured.Unstructured {
	return s.given[keyOf(object)]
}

// Unrender returns stored objects as their authors wrote them, without those that egress-governor keeps. The error names the
// place of each of which that cannot be told.
func (s *Session) Unrender(objects []manifest.Object) (out []*unstructured.Unstructured, err error) {
	if err := errors.Join(s.Store(objects...), s.assume(objects...)); err != nil {
		return nil, err
	}
	var errs []error
	for _, object := range objects {
		if s.keeps(object.Unstructured) {
			continue
		}
		intent, err := s.cluster.Intent(s.placed(object).Unstructured)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %s: %w", manifest.Place(object.File, object.Line), manifest.Name(object.Unstructured), err))
			continue
		}
		out = append(out, Bare(intent))
	}
	return out, errors.Join(errs...)
}

// keeps says whether an object is one that egress-governor makes and keeps. Its label alone is anybody's, and so are its
// annotations on a ServiceEntry: all of ours are in the gateways' namespaces.
func (s *Session) keeps(object *unstructured.Unstructured) bool {
	if object.GetLabels()[hop.ManagedByLabel] != hop.Manager {
		return false
	}
	annotations := object.GetAnnotations()
	_, host := annotations[hop.HostAnnotation]
	_, entry := annotations[hop.EntryAnnotation]
	beside := object.GetKind() != "ServiceEntry" && (host || entry)
	return beside || object.GetName() == hop.ClosingName || len(s.mesh.GatewaysIn(object.GetNamespace())) > 0
}

// Bare returns an object without what API servers and kubectl put into its metadata, and without an empty status.
func Bare(object *unstructured.Unstructured) *unstructured.Unstructured {
	out := object.DeepCopy()
	for _, field := range []string{"uid", "creationTimestamp", "resourceVersion", "generation", "managedFields"} {
		unstructured.RemoveNestedField(out.Object, "metadata", field)
	}
	if annotations := out.GetAnnotations(); annotations[corev1.LastAppliedConfigAnnotation] != "" {
		delete(annotations, corev1.LastAppliedConfigAnnotation)
		out.SetAnnotations(annotations)
		if len(annotations) == 0 {
			unstructured.RemoveNestedField(out.Object, "metadata", "annotations")
		}
	}
	if status, is := out.Object["status"].(map[string]any); is && len(status) == 0 {
		delete(out.Object, "status")
	}
	return out
}

// keyOf names an object.
func keyOf(object *unstructured.Unstructured) string {
	return object.GroupVersionKind().GroupKind().String() + " " + object.GetNamespace() + "/" + object.GetName()
}

// Failed says whether some answer is a no, and with strict whether its author is warned.
func Failed(answers []Answer, strict bool) bool {
	for _, answer := range answers {
		if !answer.Allowed() || strict && answer.warned() {
			return true
		}
	}
	return false
}

func (a Answer) warned() bool {
	for _, finding := range a.Findings {
		if finding.Effect == review.Warned {
			return true
		}
	}
	return false
}
