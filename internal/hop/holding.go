package hop

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// holding returns a copy of a VirtualService in which others may be put in the place of its destinations, of what stands beside them and
// of the fields of its spec. It shares these values with the object, and all that they hold, but not its metadata.
func holding(vs *unstructured.Unstructured) *unstructured.Unstructured {
	out := &unstructured.Unstructured{Object: maps.Clone(vs.Object)}
	if metadata, is := vs.Object["metadata"].(map[string]any); is {
		out.Object["metadata"] = runtime.DeepCopyJSON(metadata)
	}
	spec, is := vs.Object["spec"].(map[string]any)
	if !is {
		return out
	}
	spec = maps.Clone(spec)
	out.Object["spec"] = spec
	for _, section := range []string{"http", "tls", "tcp"} {
		each(spec, section, func(route map[string]any) {
			each(route, "route", nil)
			each(route, "mirrors", nil)
		})
	}
	return out
}

// each puts a copy in the place of a list and of each map in it, and does the same below those.
func each(of map[string]any, key string, below func(map[string]any)) {
	items, is := of[key].([]any)
	if !is {
		return
	}
	items = slices.Clone(items)
	of[key] = items
	for i, item := range items {
		if item, is := item.(map[string]any); is {
			item = maps.Clone(item)
			items[i] = item
			if below != nil {
				below(item)
			}
		}
	}
}
