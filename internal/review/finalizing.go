package review

import (
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// bookkeeping is what changes in the metadata of an object while its finalizers go.
var bookkeeping = []string{"finalizers", "managedFields", "resourceVersion", "generation", "deletionTimestamp", "deletionGracePeriodSeconds"}

// Finalizing says that the object is on its way out and loses finalizers, and nothing else. There is nothing to decide
// then, and what is stored must not keep it from going. Istio looks at no deletionTimestamp: whatever else is written
// to such an object steers traffic, and is decided on like any other write.
func Finalizing(object, old *unstructured.Unstructured) bool {
	if object.GetDeletionTimestamp() == nil || old == nil || old.GetDeletionTimestamp() == nil {
		return false
	}
	return equality.Semantic.DeepEqual(withoutBookkeeping(object), withoutBookkeeping(old))
}

func withoutBookkeeping(object *unstructured.Unstructured) map[string]any {
	out := object.DeepCopy().Object
	for _, field := range bookkeeping {
		unstructured.RemoveNestedField(out, "metadata", field)
	}
	return out
}
