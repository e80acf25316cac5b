package review

import (
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// codeTooLarge is the code of an object that is not looked at.
const codeTooLarge = "too-large"

// maxPairs bounds what an object of two lists can ask for: each host is looked at with each route, endpoint and port, so
// that 100 KB of manifest would otherwise cost gigabytes. People write dozens.
const maxPairs = 50_000

// maxWildcards bounds the wildcards of one object.
const maxWildcards = 100

// maxPortSettings bounds what a DestinationRule says of single ports, in its subsets too: all of it is kept.
const maxPortSettings = 500

// maxExportTo bounds the namespaces that an object is exported to by their names, each of which is a client of it: who means more means all.
const maxExportTo = 500

// maxPatterns bounds what the names of an object take as policies read them: with every parent of each, which is the square of
// a name's labels.
const maxPatterns = 8 << 20

// maxText is the length of the longest text of an object: annotations have no more, and policies go over each again and again.
const maxText = 256 << 10

// bounded refuses an object that is too much work to look at, before any is done.
func (s *subject) bounded() hop.Refusals {
	if refusals := boundContent(s.Object, s.Old); len(refusals) > 0 {
		return refusals
	}
	refusals := s.outgrown()
	if len(refusals) == 0 && s.kind.bound != nil {
		refusals = s.kind.bound(s.Object)
	}
	if len(refusals) > 0 && s.kind.aside != nil {
		if s.aside = s.kind.aside(s); s.aside {
			return nil
		}
	}
	return refusals
}

// boundContent refuses an object of more values, or longer names, than anybody is to look at. A text may be as long as the longest before.
func boundContent(object, old *unstructured.Unstructured) hop.Refusals {
	left := leftBy(object, maxText)
	if left.text < 0 && old != nil {
		left = leftBy(object, max(maxText, longest(old.Object)))
	}
	out := hop.Refusals{{Code: codeTooLarge, Field: "spec", Fix: "spread it over several objects"}}
	switch {
	case left.values < 0:
		out[0].Message = fmt.Sprintf("the object has more than %d values", maxPairs)
	case left.patterns < 0:
		out[0].Message = "the names in the object have too many labels: to hold them against patterns such as *.example.com takes too much memory"
	case left.text < 0:
		out[0].Message = fmt.Sprintf("the object has a text of more than %d KiB", maxText>>10)
	default:
		return nil
	}
	return out
}

// leftBy is what an object leaves of its bounds.
func leftBy(object *unstructured.Unstructured, text int) size {
	left := size{values: maxPairs, patterns: maxPatterns, text: text}
	for key, value := range object.Object {
		if metadata, is := value.(map[string]any); is && key == "metadata" {
			// What the API server notes of the fields is as large as these.
			metadata = maps.Clone(metadata)
			delete(metadata, "managedFields")
			value = metadata
		}
		left.take(value)
	}
	return left
}

// longest is the length of the longest text of a value.
func longest(value any) (out int) {
	switch v := value.(type) {
	case string:
		out = len(v)
	case map[string]any:
		for _, item := range v {
			out = max(out, longest(item))
		}
	case []any:
		for _, item := range v {
			out = max(out, longest(item))
		}
	}
	return out
}

// size is what an object may still have, but for text, which any of its values may have.
type size struct{ values, patterns, text int }

// take takes a value off, until nothing is left.
func (s *size) take(value any) {
	if s.values--; s.values < 0 || s.patterns < 0 || s.text < 0 {
		return
	}
	switch v := value.(type) {
	case string:
		if len(v) > s.text {
			s.text = -1
			return
		}
		s.patterns -= egress.PatternsSize(v)
	case map[string]any:
		for _, item := range v {
			s.take(item)
		}
	case []any:
		for _, item := range v {
			s.take(item)
		}
	}
}

// boundEntry refuses a ServiceEntry that is too much work to look at.
func boundEntry(entry *unstructured.Unstructured) hop.Refusals {
	hosts := listOf(entry, "hosts")
	return slices.Concat(bound(len(hosts), len(listOf(entry, "endpoints")), "endpoints"), bound(len(hosts), len(listOf(entry, "ports")), "ports"), boundWildcards(hosts),
		bound(len(hosts), len(listOf(entry, "exportTo")), "namespaces"),
		bound(len(listOf(entry, "endpoints")), len(listOf(entry, "ports")), "ports"))
}

// boundRule refuses a DestinationRule of which each subset is to be looked at with too many settings.
func boundRule(rule *unstructured.Unstructured) hop.Refusals {
	return bound(1+len(listOf(rule, "subsets")), rulePorts(rule).count, "settings of ports")
}

// rulePorts counts what a DestinationRule says of ports: Services have fewer.
func rulePorts(rule *unstructured.Unstructured) tally {
	spec, _ := rule.Object["spec"].(map[string]any)
	settings := portSettings(spec)
	for _, subset := range listOf(rule, "subsets") {
		of, _ := subset.(map[string]any)
		settings += portSettings(of)
	}
	return tally{settings, maxPortSettings, "spec.trafficPolicy.portLevelSettings", "settings of ports, with those of subsets,"}
}

// portSettings counts those of a traffic policy.
func portSettings(of map[string]any) int {
	policy, _ := of["trafficPolicy"].(map[string]any)
	settings, _ := policy["portLevelSettings"].([]any)
	return len(settings)
}

// exportedTo counts the namespaces that an object is exported to.
func exportedTo(object *unstructured.Unstructured) tally {
	return tally{len(listOf(object, "exportTo")), maxExportTo, "spec.exportTo", "namespaces"}
}

// tallies are what of an object is counted.
type tallies []func(object *unstructured.Unstructured) tally

// tally is how many of something an object has, and may have at most.
type tally struct {
	count, most int
	at, what    string
}

// outgrown refuses more of something than one object may have. One that had as much before, as it is stored or was written, may be
// written: its labels, and what we write, are no more work than it was.
func (s *subject) outgrown() (out hop.Refusals) {
	for _, count := range s.kind.tallies {
		now := count(s.Object)
		if now.count <= now.most || now.count <= s.had(count) {
			continue
		}
		out = append(out, egress.Finding{
			Code: codeTooLarge, Field: now.at, Message: fmt.Sprintf("%d %s are more than the %d of one object that are looked at", now.count, now.what, now.most),
			Fix: "spread them over several objects",
		})
	}
	return out
}

// had is how many of something the object had before, as it is stored or was written.
func (s *subject) had(count func(object *unstructured.Unstructured) tally) int {
	if s.Old == nil {
		return 0
	}
	before := count(s.Old).count
	if written, err := s.kind.intent(s, s.Old); err == nil {
		before = max(before, count(written).count)
	}
	return before
}

// boundWildcards: a wildcard is held against all hosts there are.
func boundWildcards(hosts []any) hop.Refusals {
	wildcards := 0
	for _, host := range hosts {
		if name, _ := host.(string); egress.IsWildcard(name) {
			wildcards++
		}
	}
	return bound(wildcards, maxPairs/maxWildcards, "known hosts")
}

func bound(hosts, others int, name string) hop.Refusals {
	if hosts*others <= maxPairs {
		return nil
	}
	return hop.Refusals{{
		Code: codeTooLarge, Field: field.NewPath("spec", "hosts").String(),
		Message: fmt.Sprintf("%d hosts and %d %s are more than %d pairs", hosts, others, name, maxPairs),
		Fix:     "spread the hosts over several objects",
	}}
}

// listOf is a list of the spec, nil for none.
func listOf(object *unstructured.Unstructured, key string) []any {
	spec, _ := object.Object["spec"].(map[string]any)
	items, _ := spec[key].([]any)
	return items
}
