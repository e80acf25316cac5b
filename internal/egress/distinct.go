package egress

import (
	"fmt"
	"maps"
	"slices"
)

// distinct are the places of those members of an exit of whom no two let in the same callers by the same ports and legs. A host may
// have thousands of entries, of few kinds: what is asked of its exit once for each of them is not to look at all of them.
type distinct struct {
	places []int32
	// kinds are theirs, where they are many.
	kinds map[kind]bool
}

// few are compared one by one.
const few = 8

// kind is what members let in alike who are alike.
type kind struct {
	namespace  string
	definition digest
	legs       string
	suspended  bool
	clients    string
}

// add takes in the last of the members. Whoever has the places before it still has them.
func (d *distinct) add(members []Member) {
	last := len(members) - 1
	next := members[last]
	if d.kinds == nil && len(d.places) < few {
		if !slices.ContainsFunc(d.places, func(i int32) bool { return members[i].alike(next) }) {
			d.places = append(d.places, int32(last))
		}
		return
	}
	if d.kinds == nil {
		d.kinds = map[kind]bool{}
		for _, i := range d.places {
			d.kinds[members[i].kind()] = true
		}
	}
	if of := next.kind(); !d.kinds[of] {
		d.kinds[of] = true
		d.places = append(d.places, int32(last))
	}
}

// LetsInAs says whether two exits let in the same callers by the same ports and legs.
func (e *Exit) LetsInAs(other *Exit) bool {
	if e == nil || other == nil {
		return e == other
	}
	return slices.EqualFunc(e.distinct.places, other.distinct.places, func(i, j int32) bool { return e.Members[i].alike(other.Members[j]) })
}

// some says whether a member meets a condition that those who are alike meet alike.
func (e *Exit) some(met func(Member) bool) bool {
	return slices.ContainsFunc(e.distinct.places, func(i int32) bool { return met(e.Members[i]) })
}

func (m Member) alike(other Member) bool {
	return m.Suspended == other.Suspended && slices.Equal(m.legs(), other.legs()) && m.admitsAlike(other)
}

// admitsAlike says whether two let in the same callers by the same ports.
func (m Member) admitsAlike(other Member) bool {
	return m.Namespace == other.Namespace && m.Definition.Equal(other.Definition) && slices.Equal(m.ExportTo, other.ExportTo) &&
		(m.Accounts == nil) == (other.Accounts == nil) && maps.EqualFunc(m.Accounts, other.Accounts, slices.Equal[[]string])
}

func (m Member) kind() kind {
	var clients string
	if len(m.ExportTo) > 0 || m.Accounts != nil {
		clients = fmt.Sprintf("%q %t %q", m.ExportTo, m.Accounts == nil, m.Accounts) // maps are printed in the order of their keys
	}
	return kind{m.Namespace, m.Definition.digest, fmt.Sprint(m.legs()), m.Suspended, clients}
}
