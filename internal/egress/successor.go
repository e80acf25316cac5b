package egress

import (
	"cmp"
	"slices"
)

// With returns the exit with one more entry, of a definition that has part in it already and under the rule of its namespace,
// which is the oldest in nothing; false where that is not so, and the exit has to be made anew. Entries of one second come in any order.
// The exit itself stays as it is; it may be given one successor.
func (e *Exit) With(entry *Entry, rule *Rule) (*Exit, bool) {
	definition := entry.Definition.Under(rule)
	against, known := e.knows(definition)
	joins := known && against.Owner == nil && e.agrees(e.Rule, rule) && !e.oldest(entry, definition)
	if !joins || !e.settled() || !ordinary(entry) || !e.servesAll(entry.legs()) {
		return nil, false
	}
	out := *e
	out.Members = append(out.Members, Member{entry, definition, rule})
	out.distinct.add(out.Members)
	return &out, true
}

// settled says whether whatever an exit opens or closes it does for all its entries, and the last has its place by age alone.
func (e *Exit) settled() bool {
	return len(e.passing) == 0 && len(e.shut) == 0 && last(e.Members[len(e.Members)-1].Entry) == 0
}

// ordinary says whether an entry has its place by age alone, and has all opened to it that it names.
func ordinary(entry *Entry) bool { return last(entry) == 0 && !entry.Suspended && !entry.Passing }

// servesAll says whether calls come to the exit by all of some client legs.
func (e *Exit) servesAll(legs []Leg) bool {
	return !slices.ContainsFunc(legs, func(leg Leg) bool { return !e.Serves(leg) })
}

// oldest says whether an entry is older than the exit's owner, or than whoever defines or encrypts one of its ports.
func (e *Exit) oldest(entry *Entry, definition Definition) bool {
	return entry.Older(e.Owner()) < 0 || slices.ContainsFunc(definition.Ports, func(port Port) bool {
		defined, _ := e.defined(port.Number)
		encrypted, is := e.encrypted(port.Number)
		return entry.Older(defined.by) < 0 || is && entry.Older(encrypted.by) < 0
	})
}

// Without returns the exit as it would be without an entry; nil where nothing remains.
func (e *Exit) Without(namespace, name string) *Exit {
	return e.without(func(member Member) bool { return member.Namespace == namespace && member.Name == name })
}

// WithoutNamespace returns the exit as it would be without the entries of a namespace; nil where nothing remains.
func (e *Exit) WithoutNamespace(namespace string) *Exit {
	return e.without(func(member Member) bool { return member.Namespace == namespace })
}

func (e *Exit) without(is func(Member) bool) *Exit {
	if e == nil || !slices.ContainsFunc(e.Members, is) {
		return e
	}
	rest := slices.DeleteFunc(slices.Clone(e.Members), is)
	slices.SortFunc(rest, func(a, b Member) int { return cmp.Or(cmp.Compare(last(a.Entry), last(b.Entry)), a.Older(b.Entry)) })
	return exitOf(rest, e.oneTLS)
}

// SameAs says whether two exits lead alike from the same gateways, and their contradictions name the same entries.
func (e *Exit) SameAs(other *Exit) (leads, names bool) {
	if e == nil || other == nil {
		return e == other, e == other
	}
	leads = e.Definition.Equal(other.Definition) && slices.Equal(e.shut, other.shut) && sameLegs(e.legs, other.legs) && e.Rule.Same(other.Rule)
	names = e.Owner() == other.Owner() && len(e.ports) == len(other.ports)
	for _, port := range e.ports {
		theirs, _ := other.defined(port.Number)
		mine, _ := e.encrypted(port.Number)
		encrypted, _ := other.encrypted(port.Number)
		names = names && theirs.by == port.by && encrypted.by == mine.by
	}
	return leads, names
}

func sameLegs(a, b []Leg) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(leg Leg) bool { return !slices.Contains(b, leg) })
}
