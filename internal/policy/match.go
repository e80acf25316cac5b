package policy

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
)

// User is who asks, the zero value for nobody.
type User struct {
	Name   string
	Groups []string
}

// matching is what a policy is asked about, beside the kinds. The zero value is everything.
type matching struct {
	// labelled and named are the namespaces that it selects, nil for all; excluded those that it does not in any case.
	labelled        labels.Selector
	named, excluded []pattern
	// objects are those that it is asked about by their own labels, nil for all.
	objects labels.Selector
	// users and groups are those to whom it does not apply.
	users, groups []v1alpha1.UserName
}

// newMatching reads a match. On error it is wider than what is written: what cannot be read selects everything and excludes nobody.
func newMatching(of v1alpha1.Match) (out matching, err error) {
	var errs [6]error
	out.labelled, errs[0] = selectorOf("namespaceSelector", of.NamespaceSelector)
	out.named, errs[1] = patternsOf("namespaces", of.Namespaces)
	out.excluded, errs[2] = patternsOf("exclude", of.Exclude)
	out.objects, errs[3] = selectorOf("objectSelector", of.ObjectSelector)
	out.users, errs[4] = usersOf("excludeUsers", of.ExcludeUsers)
	out.groups, errs[5] = usersOf("excludeGroups", of.ExcludeGroups)
	if i := slices.IndexFunc(out.excluded, pattern.all); i >= 0 {
		out.excluded, errs[2] = nil, fmt.Errorf("spec.match.exclude[%d]: would exclude every namespace: delete the policy, or have it Audit", i)
	}
	if i := slices.Index(out.groups, "system:authenticated"); i >= 0 {
		out.groups, errs[5] = nil, fmt.Errorf("spec.match.excludeGroups[%d]: system:authenticated is everybody: delete the policy, or have it Audit", i)
	}
	return out, errors.Join(errs[:]...)
}

func selectorOf(field string, of *metav1.LabelSelector) (labels.Selector, error) {
	if of == nil {
		return nil, nil
	}
	out, err := metav1.LabelSelectorAsSelector(of)
	if err != nil {
		return nil, fmt.Errorf("spec.match.%s: %w", field, err)
	}
	return out, nil
}

func usersOf(field string, of []v1alpha1.UserName) ([]v1alpha1.UserName, error) {
	if i := slices.Index(of, ""); i >= 0 {
		return nil, fmt.Errorf("spec.match.%s[%d]: is empty", field, i)
	}
	return of, nil
}

// namespace says whether a policy counts for a namespace.
func (m *matching) namespace(name string, set map[string]string) bool {
	of := func(p pattern) bool { return p.match(name) }
	return (m.labelled == nil || m.labelled.Matches(labels.Set(set))) &&
		(m.named == nil || slices.ContainsFunc(m.named, of)) && !slices.ContainsFunc(m.excluded, of)
}

// Selects says whether a match selects one of some namespaces at least. One that cannot be read selects all that it may mean.
func Selects(of v1alpha1.Match, among Namespaces) bool {
	match, _ := newMatching(of)
	for i := range among.Len() {
		if match.namespace(among.At(i)) {
			return true
		}
	}
	return false
}

// Nobody returns the names of a match, by their fields, that are of none of some namespaces: those that no namespace has are mostly mistyped.
func Nobody(of v1alpha1.Match, among []string) (out []string) {
	for _, list := range []struct {
		field string
		names []v1alpha1.NamespacePattern
	}{{"namespaces", of.Namespaces}, {"exclude", of.Exclude}} {
		patterns, _ := patternsOf(list.field, list.names) // none of what cannot be read
		for i, pattern := range patterns {
			if !slices.ContainsFunc(among, pattern.match) {
				out = append(out, fmt.Sprintf("spec.match.%s[%d] (%q)", list.field, i, list.names[i]))
			}
		}
	}
	return out
}

// object says whether it is asked about an object with these labels.
func (m *matching) object(set map[string]string) bool {
	return m.objects == nil || m.objects.Matches(labels.Set(set))
}

// exempts says whether it does not apply to a user.
func (m *matching) exempts(user User) bool {
	return slices.Contains(m.users, v1alpha1.UserName(user.Name)) || slices.ContainsFunc(m.groups, func(group v1alpha1.UserName) bool {
		return slices.Contains(user.Groups, string(group))
	})
}

// pattern is a name in parts, between which any characters may stand.
type pattern []string

// patterned is how the name of a namespace may be written.
var patterned = regexp.MustCompile(`^[a-z0-9*]([-a-z0-9*]*[a-z0-9*])?$`)

func patternsOf(field string, of []v1alpha1.NamespacePattern) (out []pattern, err error) {
	for i, name := range of {
		if !patterned.MatchString(string(name)) || len(name) > 63 {
			return nil, fmt.Errorf("spec.match.%s[%d]: %q is not the name of a namespace, nor one with \"*\" for any characters", field, i, name)
		}
		out = append(out, strings.Split(string(name), "*"))
	}
	return out, nil
}

// all says whether every name matches.
func (p pattern) all() bool { return len(p) > 1 && strings.Join(p, "") == "" }

// match takes what stands between two "*" where it comes first: whatever follows has the most left to match.
func (p pattern) match(name string) bool {
	first, last := p[0], p[len(p)-1]
	if len(p) == 1 {
		return name == first
	}
	if len(name) < len(first)+len(last) || !strings.HasPrefix(name, first) || !strings.HasSuffix(name, last) {
		return false
	}
	name = name[len(first) : len(name)-len(last)]
	for _, part := range p[1 : len(p)-1] {
		_, after, found := strings.Cut(name, part)
		if !found {
			return false
		}
		name = after
	}
	return true
}
