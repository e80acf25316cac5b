package registry

import (
	"unique"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Identity is what a cache needs of any object. It stands in the place of the metadata, which take four times as much whatever they
// say, and a cluster may have ten thousands.
type Identity struct {
	Namespace, Name string
	UID             types.UID
	ResourceVersion string
}

var _ metav1.ObjectMetaAccessor = Identity{}

func identify(object metav1.Object) Identity {
	return Identity{Namespace: Same(object.GetNamespace()), Name: object.GetName(), UID: object.GetUID(), ResourceVersion: object.GetResourceVersion()}
}

// GetObjectMeta implements metav1.ObjectMetaAccessor.
func (i Identity) GetObjectMeta() metav1.Object {
	return &metav1.ObjectMeta{Namespace: i.Namespace, Name: i.Name, UID: i.UID, ResourceVersion: i.ResourceVersion}
}

// Same returns the one text of all that say the same: the decoder makes one for each object, and caches keep them.
func Same(text string) string { return unique.Make(text).Value() }
