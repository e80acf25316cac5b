package egress

import (
	"cmp"
	"maps"
	"slices"
)

// Exit is how a host is reached from the gateways of one namespace: the union of what its entries define, since every
// application brings an entry of its own. An entry that contradicts an older one has no part in it.
type Exit struct {
	// Definition is the union.
	Definition Definition
	// Rule is the DestinationRule of the oldest entry's namespace, nil for none.
	Rule *Rule
	// Members are the entries that have part in it, oldest first.
	Members []Member
	// ports say by whom each is defined, tls by whom it is encrypted, legs by which some member comes. They are few, and
	// there may be thousands of exits.
	ports []defined
	tls   []encryption
	legs  []Leg
	// known are the definitions of all entries, with the reason of those that have no part.
	known map[digest]Contradiction
	// shut are the ports that none but suspended members define, sorted.
	shut []uint32
	// oneTLS says that a gateway of the namespace tells no TLS ports of a host apart.
	oneTLS bool
}

// Member is an entry that has part in an exit, with its definition under the rule of its namespace.
type Member struct {
	*Entry
	Definition Definition
	rule       *Rule
}

// encryption is how a port is encrypted, and the oldest entry whose namespace has it so.
type encryption struct {
	number   uint32
	settings map[string]any
	by       *Entry
}

// defined is a port, and the oldest entry that defines it.
type defined struct {
	Port
	by *Entry
}

// ExitOf returns the exit that entries make, which come oldest first, under the rules of their namespaces; those that
// are sealed to no gateway of the namespace have no part. Without any it is nil.
func (m *Mesh) ExitOf(entries []*Entry, namespace string, ruleOf func(namespace string) *Rule) *Exit {
	gateways := m.GatewaysIn(namespace)
	type under struct {
		digest digest
		rule   *Rule
	}
	known := map[under]Definition{}
	rules := map[string]*Rule{}
	var members []Member
	for _, entry := range entries {
		if entry.Gateway == "" || !slices.ContainsFunc(gateways, func(g Gateway) bool { return g.Name == entry.Gateway || g.Name == entry.Moving.Gateway }) {
			continue
		}
		rule, asked := rules[entry.Namespace]
		if !asked {
			rule = ruleOf(entry.Namespace)
			rules[entry.Namespace] = rule
		}
		key := under{entry.Definition.digest, rule}
		if _, is := known[key]; !is {
			known[key] = entry.Definition.Under(rule)
		}
		members = append(members, Member{entry, known[key], rule})
	}
	slices.SortStableFunc(members, func(a, b Member) int { return cmp.Compare(last(a.Terminating), last(b.Terminating)) })
	return exitOf(members, slices.ContainsFunc(gateways, func(g Gateway) bool { return g.Transport.goesBySNI() }))
}

func last(terminating bool) int {
	if terminating {
		return 1
	}
	return 0
}

// exitOf makes the exit. What some entry has encrypted is encrypted, and who has it otherwise has no part: nothing that
// was meant to be encrypted leaves in clear.
func exitOf(from []Member, oneTLS bool) *Exit {
	out := &Exit{known: map[digest]Contradiction{}, oneTLS: oneTLS}
	for _, member := range from {
		for number, settings := range member.Definition.TLS {
			if _, taken := out.encrypted(number); !taken {
				out.tls = append(out.tls, encryption{number, settings, member.Entry})
			}
		}
	}
	for _, member := range from {
		out.add(member)
	}
	if len(out.Members) == 0 {
		return nil
	}
	out.Rule = out.Members[0].rule
	out.shut = out.closed()
	return out
}

func (e *Exit) add(member Member) {
	against, known := e.known[member.Definition.digest]
	if !known {
		against = e.against(member.Definition)
		e.known[member.Definition.digest] = against
		if against.Owner == nil {
			e.join(member)
		}
	}
	if against.Owner == nil {
		e.Members = append(e.Members, member)
		for _, leg := range member.legs() {
			if !member.Suspended && !slices.Contains(e.legs, leg) {
				e.legs = append(e.legs, leg)
			}
		}
	}
}

// defined returns a port of the union.
func (e *Exit) defined(number uint32) (defined, bool) {
	for _, port := range e.ports {
		if port.Number == number {
			return port, true
		}
	}
	return defined{}, false
}

// Spelled returns the protocol of a port as the oldest entry that defines it has it: HTTPS is TLS to a gateway, and who
// compares the entries of a host finds them agree.
func (e *Exit) Spelled(number uint32) string {
	port, is := e.defined(number)
	if !is {
		return ""
	}
	for _, written := range port.by.Ports {
		if written.Number == number && onTheWire(written.Protocol) == port.Protocol {
			return written.Protocol
		}
	}
	return port.Protocol
}

// encrypted returns how a port is encrypted.
func (e *Exit) encrypted(number uint32) (encryption, bool) {
	for _, port := range e.tls {
		if port.number == number {
			return port, true
		}
	}
	return encryption{}, false
}

// With returns the exit with one more entry, younger than all others, of a definition that has part in it already and
// under the rule of its namespace; false where that is not so, and the exit has to be made anew. The exit itself stays as
// it is; it may be given one successor.
func (e *Exit) With(entry *Entry, rule *Rule) (*Exit, bool) {
	definition := entry.Definition.Under(rule)
	against, known := e.known[definition.digest]
	if !known || against.Owner != nil || entry.Terminating || entry.Suspended || len(e.shut) > 0 || e.Members[len(e.Members)-1].Terminating || slices.ContainsFunc(entry.legs(), func(leg Leg) bool { return !slices.Contains(e.legs, leg) }) {
		return nil, false
	}
	out := *e
	out.Members = append(out.Members, Member{entry, definition, rule})
	return &out, true
}

// join takes the ports of a member's definition into the union.
func (e *Exit) join(member Member) {
	if len(e.Members) == 0 {
		e.Definition = member.Definition
	}
	for _, port := range member.Definition.Ports {
		if _, taken := e.defined(port.Number); taken {
			continue
		}
		e.ports = append(e.ports, defined{port, member.Entry})
		if len(e.Members) > 0 {
			e.Definition = e.Definition.with(port, member.Definition)
		}
	}
	if len(member.Definition.TLS) > 0 {
		e.Definition.TLS = mergedTLS(e.Definition.TLS, member.Definition.TLS)
		e.Definition = e.Definition.digested()
	}
}

// Owner returns the oldest entry of the exit, nil for none.
func (e *Exit) Owner() *Entry {
	if e == nil {
		return nil
	}
	return e.Members[0].Entry
}

// Covers says whether the exit has all that an entry of this definition asks of it.
func (e *Exit) Covers(definition Definition) bool {
	return e != nil && e.Against(definition).Owner == nil && !slices.ContainsFunc(definition.Ports, func(port Port) bool {
		_, has := e.defined(port.Number)
		return !has || slices.Contains(e.shut, port.Number)
	})
}

// Serves says whether calls come to the exit by a client leg.
func (e *Exit) Serves(leg Leg) bool { return e != nil && slices.Contains(e.legs, leg) }

// Admits says whether an entry has part in the exit, where its gateway knows who calls.
func (e *Exit) Admits(entry *Entry) bool {
	return e != nil && (entry.Transport != MutualTLS || slices.ContainsFunc(e.Members, func(member Member) bool {
		return !member.Suspended && member.Namespace == entry.Namespace && member.Name == entry.Name && slices.Equal(member.ExportTo, entry.ExportTo) &&
			maps.EqualFunc(member.Accounts, entry.Accounts, slices.Equal[[]string])
	}))
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
	return exitOf(slices.DeleteFunc(slices.Clone(e.Members), is), e.oneTLS)
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

// By returns the definition of the exit as calls of a client leg may have it: with the ports that some entry of that leg
// defines.
func (e *Exit) By(leg Leg) Definition {
	return e.Definition.only(func(port Port) bool {
		return slices.ContainsFunc(e.Members, func(member Member) bool {
			return !member.Suspended && slices.Contains(member.legs(), leg) && member.Definition.has(port.Number)
		})
	})
}
