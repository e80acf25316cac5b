package admit

import (
	"slices"
	"strconv"
	"strings"

	"gomodules.xyz/jsonpatch/v2"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// patch returns the operations that make one decoded object of another, field by field. The objects are at hand: nothing is
// encoded and decoded to find what differs.
func patch(from, to map[string]any) []jsonpatch.Operation {
	var out patching
	out.object("", from, to)
	return out
}

type patching []jsonpatch.Operation

func (p *patching) object(path string, from, to map[string]any) {
	// Most of an object stays as it is, and is looked at no further.
	var differ []string
	for key, value := range from {
		if now, stays := to[key]; !stays || !egress.SameValue(value, now) {
			differ = append(differ, key)
		}
	}
	for key := range to {
		if _, was := from[key]; !was {
			differ = append(differ, key)
		}
	}
	slices.Sort(differ)
	for _, key := range differ {
		at := path + "/" + pointer.Replace(key)
		was, had := from[key]
		now, has := to[key]
		switch {
		case !has:
			*p = append(*p, jsonpatch.NewOperation("remove", at, nil))
		case !had:
			*p = append(*p, jsonpatch.NewOperation("add", at, now))
		default:
			p.value(at, was, now)
		}
	}
}

// value has one value in the place of another. Items of lists of one length are compared one by one.
func (p *patching) value(path string, from, to any) {
	if fromMap, is := from.(map[string]any); is {
		if toMap, is := to.(map[string]any); is {
			p.object(path, fromMap, toMap)
			return
		}
	}
	fromList, _ := from.([]any)
	toList, _ := to.([]any)
	if len(fromList) == 0 || len(fromList) != len(toList) {
		*p = append(*p, jsonpatch.NewOperation("replace", path, to))
		return
	}
	for i := range fromList {
		if !egress.SameValue(fromList[i], toList[i]) {
			p.value(path+"/"+strconv.Itoa(i), fromList[i], toList[i])
		}
	}
}

// pointer writes a field as RFC 6901 has it.
var pointer = strings.NewReplacer("~", "~0", "/", "~1")
