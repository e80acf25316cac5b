package hop

import (
	"encoding/json"
	"fmt"
	"maps"

	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// record is the content of IntentAnnotation: every value that a rewrite put in the place of an author's.
type record []*replaced

// replaced is one such value, in one or more fields.
type replaced struct {
	// Was is the author's value; absent where the author left the field out.
	Was any `json:"was,omitempty"`
	// Now is what the rewrite put there.
	Now any `json:"now"`
	// Paths are the fields.
	Paths []string `json:"paths"`
}

// slot is a field of an object that a rewrite may replace.
type slot struct {
	path   string
	parent map[string]any
	key    string
}

// recorder makes the record of a rewrite.
type recorder struct {
	record
	// known are the record's items by what was there and what is.
	known map[string]*replaced
}

// replace writes a value into the slot and remembers what was there.
func (r *recorder) replace(s slot, now any) {
	was := s.parent[s.key]
	if egress.SameValue(was, now) {
		return
	}
	s.parent[s.key] = now
	if last := len(r.record) - 1; last >= 0 && egress.SameValue(r.record[last].Was, was) && egress.SameValue(r.record[last].Now, now) {
		// Most routes lead to the host of the one before.
		r.record[last].Paths = append(r.record[last].Paths, s.path)
		return
	}
	was = runtime.DeepCopyJSONValue(was)
	key, _ := json.Marshal([]any{was, now}) // values of a decoded object always encode
	if item := r.known[string(key)]; item != nil {
		item.Paths = append(item.Paths, s.path)
		return
	}
	item := &replaced{Was: was, Now: now, Paths: []string{s.path}}
	r.record = append(r.record, item)
	if r.known == nil {
		r.known = map[string]*replaced{}
	}
	r.known[string(key)] = item
}

// restore puts the author's values back wherever what replaced them still stands. Whatever else stands there is the
// author's newer word and stays. The record is not trusted: it reaches no field but the slots.
func (r record) restore(slots []slot) {
	byPath := map[string]*replaced{}
	for _, item := range r {
		if item == nil {
			continue
		}
		for _, path := range item.Paths {
			byPath[path] = item
		}
	}
	for _, s := range slots {
		item, known := byPath[s.path]
		have, given := s.parent[s.key]
		if !known || !given {
			continue
		}
		if value := putBack(item.Was, item.Now, have); value == nil {
			delete(s.parent, s.key)
		} else {
			s.parent[s.key] = value
		}
	}
}

// putBack returns have with the author's parts in the place of those that a rewrite put there: a patch may have changed
// some of them alone. Nil stands for an absent value. It changes none of them.
func putBack(was, now, have any) any {
	if egress.SameValue(now, have) {
		return runtime.DeepCopyJSONValue(was)
	}
	switch have := have.(type) {
	case map[string]any:
		nowMap, ok := now.(map[string]any)
		if !ok {
			return have
		}
		wasMap, _ := was.(map[string]any)
		out := maps.Clone(have)
		for key, value := range have {
			if part, written := nowMap[key]; !written {
				continue
			} else if value := putBack(wasMap[key], part, value); value == nil {
				delete(out, key)
			} else {
				out[key] = value
			}
		}
		// What the rewrite took away, a patch of the rest did not mean to.
		for key, value := range wasMap {
			if _, written := nowMap[key]; !written && out[key] == nil {
				out[key] = runtime.DeepCopyJSONValue(value)
			}
		}
		return out
	case []any:
		nowList, _ := now.([]any)
		if len(nowList) != len(have) {
			return have
		}
		wasList, _ := was.([]any)
		out := make([]any, 0, len(have))
		for i, value := range have {
			if len(wasList) <= len(have) && i < len(wasList) {
				out = append(out, putBack(wasList[i], nowList[i], value)) // what a rewrite adds stands behind
			} else if value := putBackAdded(nowList[i], value); value != nil {
				out = append(out, value)
			}
		}
		return out
	}
	return have
}

// putBackAdded is putBack of an item that a rewrite added to a list: where a patch changed it, it is the author's, and stays that of its port.
func putBackAdded(now, have any) any {
	out := putBack(nil, now, have)
	item, _ := out.(map[string]any)
	of, _ := have.(map[string]any)
	if port, has := of["port"]; has && item != nil {
		item["port"] = port
	}
	return out
}

// take removes the annotation from an object and returns its content, empty for none.
func take(object *unstructured.Unstructured) string {
	raw, annotated := object.GetAnnotations()[IntentAnnotation]
	if annotated {
		unstructured.RemoveNestedField(object.Object, "metadata", "annotations", IntentAnnotation)
		if len(object.GetAnnotations()) == 0 {
			unstructured.RemoveNestedField(object.Object, "metadata", "annotations")
		}
	}
	return raw
}

// put writes the record into the object's annotations. The error says that they would be larger than the API server
// takes.
func (r record) put(object *unstructured.Unstructured) error {
	raw, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode intent: %w", err)
	}
	annotations := object.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[IntentAnnotation] = string(raw)
	if err := apivalidation.ValidateAnnotationsSize(annotations); err != nil {
		return fmt.Errorf("the author's fields do not fit into an annotation: %w", err)
	}
	object.SetAnnotations(annotations)
	return nil
}

// keep is put, with what its author can do about an object that is too large. The error is Refusals.
func (r record) keep(object *unstructured.Unstructured, at *field.Path, fix string) error {
	err := r.put(object)
	if err == nil {
		return nil
	}
	var out Refusals
	out.add("too-large", at, err.Error(), fix)
	return out
}

func badAnnotation(err error) error {
	var out Refusals
	out.add("intent-annotation", field.NewPath("metadata", "annotations").Key(IntentAnnotation),
		"does not decode: "+err.Error(), "remove the annotation; it is written by egress-governor")
	return out
}
