package trace

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// fields are those of an object.
type fields = map[string]any

func textOf(of fields, path ...string) string {
	out, _, _ := unstructured.NestedString(of, path...)
	return out
}

func textsOf(of fields, path ...string) []string {
	out, _, _ := unstructured.NestedStringSlice(of, path...)
	return out
}

func fieldsOf(of fields, path ...string) fields {
	value, _, _ := unstructured.NestedFieldNoCopy(of, path...)
	out, _ := value.(fields)
	return out
}

func listOf(of fields, path ...string) (out []fields) {
	value, _, _ := unstructured.NestedFieldNoCopy(of, path...)
	items, _ := value.([]any)
	for _, item := range items {
		one, _ := item.(fields)
		out = append(out, one)
	}
	return out
}

func labelsOf(of fields, path ...string) map[string]string {
	out, _, _ := unstructured.NestedStringMap(of, path...)
	return out
}

func numberOf(of fields, path ...string) uint32 {
	value, _, _ := unstructured.NestedFieldNoCopy(of, path...)
	return egress.Number(value)
}
