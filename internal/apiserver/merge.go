package apiserver

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/jsonmergepatch"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/util/csaupgrade"
)

// What becomes of a manifest before the API server asks anybody: merged into what is stored, by kubectl or by the API server.

// Applied returns what kubectl apply has the API server store of a manifest in the place of what is stored, nil for nothing, with the
// annotation in which kubectl keeps the manifest: fields that the manifest before had, and this one has not, are gone, and all others
// stay. The error is the API server's answer to what it cannot read.
func (s *Server) Applied(manifest, stored *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	kept, err := keeping(manifest)
	if err != nil {
		return nil, err
	}
	if stored == nil {
		return s.Read(kept)
	}
	current, err := inVersion(stored, manifest).MarshalJSON()
	if err != nil {
		return nil, err
	}
	modified, err := kept.MarshalJSON()
	if err != nil {
		return nil, err
	}
	original, kind := []byte(stored.GetAnnotations()[corev1.LastAppliedConfigAnnotation]), manifest.GroupVersionKind()
	merged, err := s.threeWay(kind, original, modified, current)
	if err != nil {
		return nil, err
	}
	out := &unstructured.Unstructured{}
	if err := out.UnmarshalJSON(merged); err != nil {
		return nil, err
	}
	read, unreadable, err := s.read(out)
	if unreadable != nil {
		// So the API server answers a patch.
		return nil, apierrors.NewInvalid(schema.GroupKind{}, "", field.ErrorList{field.Invalid(field.NewPath("patch"), string(merged), unreadable.Error())})
	}
	return read, err
}

// threeWay merges as kubectl does: Kubernetes' own kinds by what is known of their lists, all others as JSON.
func (s *Server) threeWay(kind schema.GroupVersionKind, original, modified, current []byte) ([]byte, error) {
	if s.definitions[kind.GroupKind()] == nil && scheme.Scheme.Recognizes(kind) {
		of, err := scheme.Scheme.New(kind)
		if err != nil {
			return nil, err
		}
		lists, err := strategicpatch.NewPatchMetaFromStruct(of)
		if err != nil {
			return nil, err
		}
		patch, err := strategicpatch.CreateThreeWayMergePatch(original, modified, current, lists, true)
		if err != nil {
			return nil, err
		}
		return strategicpatch.StrategicMergePatchUsingLookupPatchMeta(current, patch, lists)
	}
	patch, err := jsonmergepatch.CreateThreeWayJSONMergePatch(original, modified, current)
	if err != nil {
		return nil, err
	}
	return jsonpatch.MergePatch(current, patch)
}

// keeping returns a manifest with the annotation in which kubectl keeps it.
func keeping(manifest *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	out := manifest.DeepCopy()
	annotations := maps.Clone(out.GetAnnotations())
	if annotations == nil {
		annotations = map[string]string{}
	}
	delete(annotations, corev1.LastAppliedConfigAnnotation)
	out.SetAnnotations(annotations)
	raw, err := runtime.Encode(unstructured.UnstructuredJSONScheme, out)
	if err != nil {
		return nil, err
	}
	annotations[corev1.LastAppliedConfigAnnotation] = string(raw)
	out.SetAnnotations(annotations)
	return out, nil
}

// serverSideManager is who applies where nobody is named, lastAppliedManager who owns the annotation of kubectl's then.
const (
	serverSideManager  = "kubectl"
	lastAppliedManager = "kubectl-last-applied"
)

// ServerSide returns what kubectl apply --server-side has the API server store of a manifest: fields that the manager had, and has not
// now, are gone where nobody else has them, and what others have stays. The error is the API server's answer, where others own what the
// manager would set otherwise, or where the manifest is not of its kind.
func (s *Server) ServerSide(manifest, stored *unstructured.Unstructured, manager string, force bool) (*unstructured.Unstructured, error) {
	fields, err := s.fields(manifest.GroupVersionKind())
	if err != nil {
		return nil, err
	}
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(manifest.GroupVersionKind())
	if stored != nil {
		live = inVersion(stored, manifest)
	}
	merge := func(live *unstructured.Unstructured) (*unstructured.Unstructured, error) {
		out, err := fields.Apply(live, manifest.DeepCopy(), manager, force)
		var status apierrors.APIStatus
		if err != nil && !errors.As(err, &status) {
			return nil, &apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure, Code: http.StatusInternalServerError, Message: err.Error()}}
		}
		if err != nil {
			return nil, err
		}
		return out.(*unstructured.Unstructured), nil
	}
	out, err := merge(live)
	if err != nil || stored == nil {
		return out, err
	}
	// What kubectl had applied by itself becomes the manager's, and it applies once more.
	owners := csaupgrade.FindFieldsOwners(out.GetManagedFields(), metav1.ManagedFieldsOperationUpdate, lastAppliedField)
	if len(owners) == 0 {
		return out, nil
	}
	// kubectl has somebody else own its annotation, so that it stays.
	if kept := out.GetAnnotations()[corev1.LastAppliedConfigAnnotation]; manager == serverSideManager && kept != "" {
		keeps := &unstructured.Unstructured{}
		keeps.SetGroupVersionKind(manifest.GroupVersionKind())
		keeps.SetNamespace(manifest.GetNamespace())
		keeps.SetName(manifest.GetName())
		keeps.SetAnnotations(map[string]string{corev1.LastAppliedConfigAnnotation: kept})
		of, err := fields.Apply(out, keeps, lastAppliedManager, false)
		if err != nil {
			return nil, err
		}
		out = of.(*unstructured.Unstructured)
	}
	managers := sets.New[string]()
	for _, owner := range owners {
		managers.Insert(owner.Manager)
	}
	if err := csaupgrade.UpgradeManagedFields(out, managers, manager); err != nil {
		return nil, fmt.Errorf("managedFields: %w", err)
	}
	return merge(out)
}

// inVersion returns what is stored in the version of a manifest.
func inVersion(stored, manifest *unstructured.Unstructured) *unstructured.Unstructured {
	out := stored.DeepCopy()
	out.SetAPIVersion(manifest.GetAPIVersion())
	return out
}

// Managed says whether it is known of an object who owns its fields.
func Managed(object *unstructured.Unstructured) bool {
	return slices.ContainsFunc(object.GetManagedFields(), func(entry metav1.ManagedFieldsEntry) bool { return entry.FieldsV1 != nil })
}
