package hop

import (
	"encoding/json"
	"strings"
)

// decode reads an annotation, keeping whole numbers whole.
func decode(raw string, into any) error {
	decoder := json.NewDecoder(strings.NewReader(raw))
	decoder.UseNumber()
	return decoder.Decode(into)
}

// plain turns the numbers of a decoded JSON value into those that unstructured objects hold.
func plain(value any) any {
	switch v := value.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64()
		return f
	case map[string]any:
		for key, item := range v {
			v[key] = plain(item)
		}
	case []any:
		for i, item := range v {
			v[i] = plain(item)
		}
	}
	return value
}
