package audit

import (
	"cmp"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/review"
)

// kinds are the governed ones: first that which may be suspended.
var kinds = func() []string {
	out := []string{serviceEntry}
	for _, kind := range review.Kinds() {
		if kind != serviceEntry {
			out = append(out, kind)
		}
	}
	return out
}()

const (
	serviceEntry = "ServiceEntry"
	// group is that of the kinds that every mesh has.
	group = "networking.istio.io"
)

// ofMesh says whether a kind is one that every mesh has, and that is governed whether or not a policy asks for it.
func ofMesh(kind string) bool {
	resource, _ := review.ResourceOf(kind)
	return resource.Group == group && !resource.Asked
}

// objectKey names a stored object of the governed kinds.
type objectKey struct{ Kind, Namespace, Name string }

func (k objectKey) compare(other objectKey) int {
	return cmp.Or(cmp.Compare(k.Namespace, other.Namespace), cmp.Compare(k.Kind, other.Kind), cmp.Compare(k.Name, other.Name))
}

func (k objectKey) name() types.NamespacedName {
	return types.NamespacedName{Namespace: k.Namespace, Name: k.Name}
}

// served returns a kind with the version in which it is read, false where the cluster does not have it, or nobody asks for it.
func (a *Auditor) served(kind string) (schema.GroupVersionKind, bool, error) {
	if ofMesh(kind) {
		return gvk(kind), true, nil
	}
	resource, _ := review.ResourceOf(kind)
	if resource.Asked && !slices.Contains(a.Policies.Kinds(), v1alpha1.Kind(kind)) {
		return schema.GroupVersionKind{}, false, nil
	}
	mapping, err := a.Kinds.RESTMapping(schema.GroupKind{Group: resource.Group, Kind: kind})
	if meta.IsNoMatchError(err) {
		return schema.GroupVersionKind{}, false, nil
	}
	if err != nil {
		return schema.GroupVersionKind{}, false, err
	}
	return mapping.GroupVersionKind, slices.Contains(resource.Versions, mapping.GroupVersionKind.Version), nil
}

// unserved says whether a list failed since the cluster does not have the kind: it was asked for that longer ago than the client, or the
// other way round.
func unserved(err error) bool { return apierrors.IsNotFound(err) || meta.IsNoMatchError(err) }

func gvk(kind string) schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: group, Version: "v1", Kind: kind}
}

func keyOf(object *unstructured.Unstructured) objectKey {
	return objectKey{object.GetKind(), object.GetNamespace(), object.GetName()}
}
