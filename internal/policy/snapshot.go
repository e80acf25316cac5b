package policy

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
)

// snapshot are the policies in force at a moment, in the order in which they are asked.
type snapshot struct {
	policies []*compiled
	// kinds are the places of those that evaluate a kind.
	kinds map[v1alpha1.Kind]places
	// namespaces are the places of those that select a namespace, remembered by its name, and remembered how many there are.
	namespaces sync.Map
	remembered atomic.Int64
}

// selecting are the places of the policies that select a namespace with these labels.
type selecting struct {
	labels map[string]string
	places places
}

// maxRemembered is how many namespaces are remembered. Whatever comes after them is matched each time.
const maxRemembered = 20_000

// newSnapshot puts policies in order: those that decide before those that only tell.
func newSnapshot(policies []*compiled) *snapshot {
	slices.SortFunc(policies, func(a, b *compiled) int { return cmp.Or(rank(a)-rank(b), cmp.Compare(a.name, b.name)) })
	out := &snapshot{policies: policies, kinds: map[v1alpha1.Kind]places{}}
	for i, policy := range policies {
		for _, kind := range policy.kinds {
			of, known := out.kinds[kind]
			if !known {
				of = newPlaces(len(policies))
				out.kinds[kind] = of
			}
			of.add(i)
		}
	}
	return out
}

// with returns a snapshot with another policy of a name; nil is none.
func (s *snapshot) with(name string, next func(last *compiled) *compiled) *snapshot {
	last := s.named(name)
	of := next(last)
	if of == last {
		return s
	}
	policies := slices.DeleteFunc(slices.Clone(s.policies), func(policy *compiled) bool { return policy == last })
	if of != nil {
		policies = append(policies, of)
	}
	return newSnapshot(policies)
}

func rank(policy *compiled) int {
	switch policy.enforcement {
	case v1alpha1.Deny:
		return 0
	case v1alpha1.Warn:
		return 1
	case v1alpha1.Audit:
		return 2
	}
	return -1
}

// named returns the policy of a name, nil for none.
func (s *snapshot) named(name string) *compiled {
	for _, policy := range s.policies {
		if policy.name == name {
			return policy
		}
	}
	return nil
}

// selecting returns the places of the policies that select a namespace: each is matched once while its labels stay.
func (s *snapshot) selecting(namespace Namespace) places {
	last, known := s.namespaces.Load(namespace.Name)
	if known && maps.Equal(last.(*selecting).labels, namespace.Labels) {
		return last.(*selecting).places
	}
	next := &selecting{maps.Clone(namespace.Labels), newPlaces(len(s.policies))}
	for i, policy := range s.policies {
		if policy.match.namespace(namespace.Name, namespace.Labels) {
			next.places.add(i)
		}
	}
	if known || s.remembered.Load() < maxRemembered {
		if _, known = s.namespaces.Swap(namespace.Name, next); !known {
			s.remembered.Add(1)
		}
	}
	return next.places
}

// question is a policy that is asked about a review, and for which of its clients.
type question struct {
	policy *compiled
	client Client
}

// asked returns the policies that are asked about a review, and the names of those that do not apply to its user. Of a thousand
// in force only those are looked at that evaluate its kind, and select its namespace or may select a client.
func (s *snapshot) asked(review Review) (asked []question, exempt []string) {
	others := review.others()
	own := s.selecting(review.Namespace)
	candidates := s.kinds[v1alpha1.Kind(review.Kind)]
	if others == nil {
		candidates = candidates.both(own)
	}
	for i := range candidates.all() {
		policy := s.policies[i]
		client, selected := policy.selects(review, own.has(i), others)
		switch {
		case !selected:
		case policy.match.exempts(review.User):
			exempt = append(exempt, policy.name)
		default:
			asked = append(asked, question{policy, client})
		}
	}
	return asked, exempt
}
