package hop

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// GiveBack has the managers of an object's fields own them as they did before somebody rewrote it, who took from them what he wrote. By
// server-side apply an author takes out only what he owns, and a setting that he drops would stay. It returns whether anybody applies
// the object so; then the object is to be written once more.
func GiveBack(rewritten *unstructured.Unstructured, before []metav1.ManagedFieldsEntry) bool {
	if !slices.ContainsFunc(before, func(entry metav1.ManagedFieldsEntry) bool {
		return entry.Operation == metav1.ManagedFieldsOperationApply
	}) {
		return false
	}
	rewritten.SetManagedFields(before)
	return true
}
