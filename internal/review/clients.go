package review

import "k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

// exportTo is that of the object as it will be stored: sidecars go by it, whatever the author wrote.
func (s *subject) exportTo() []string {
	out, _, _ := unstructured.NestedStringSlice(s.Object.Object, "spec", "exportTo")
	return out
}
