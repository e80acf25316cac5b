package egress

import "reflect"

// SameValue says whether two values of decoded JSON are the same: reflect.DeepEqual of them, without the reflection.
func SameValue(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		other, is := b.(map[string]any)
		if !is || len(a) != len(other) || (a == nil) != (other == nil) {
			return false
		}
		for key, value := range a {
			if beside, given := other[key]; !given || !SameValue(value, beside) {
				return false
			}
		}
		return true
	case []any:
		other, is := b.([]any)
		if !is || len(a) != len(other) || (a == nil) != (other == nil) {
			return false
		}
		for i := range a {
			if !SameValue(a[i], other[i]) {
				return false
			}
		}
		return true
	case string, bool, int64, float64, nil:
		return a == b
	}
	return reflect.DeepEqual(a, b)
}
