package egress

import (
	"cmp"
	"slices"
)

// Exit is how a host is reached from the gateways of one namespace: the union of what its entries define, since every
// application brings an entry of its own. An entry that contradicts an older one has no part in it.
type Exit struct {
	// Definition is the union.
	Definition Definition
	// Rule is the DestinationRule of the oldest entry's namespace as far as those of all other members' agree with it, nil for nothing.
	Rule *Rule
	// Members are the entries that have part in it: the oldest first, and the others in no order.
	Members []Member
	// ports say by whom each is defined, tls by whom it is encrypted, legs by which some member comes. They are few, and
	// there may be thousands of exits.
	ports []defined
	tls   []encryption
	legs  []Leg
	// distinct are, by their places, the members who let in others than those before them, or by other ports.
	distinct distinct
	// known are the definitions of all entries beside the oldest's, with the reason of those that have no part; nil for most.
	known map[digest]Contradiction
	// passing are the legs by mutual TLS of namespaces of whose members one goes over to it, or from it.
	passing []Leg
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
		if !slices.ContainsFunc(gateways, func(g Gateway) bool { return g.Name == entry.Gateway || g.Name == entry.Moving.Gateway }) {
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
	slices.SortStableFunc(members, func(a, b Member) int { return cmp.Compare(last(a.Entry), last(b.Entry)) })
	return exitOf(members, slices.ContainsFunc(gateways, func(g Gateway) bool { return g.Transport.goesBySNI() }))
}

// last orders those that hold a host against no other behind all that do.
func last(entry *Entry) int {
	switch {
	case entry.Observed:
		return 2
	case entry.Terminating:
		return 1
	}
	return 0
}

// Kept says that none but observed entries have part in the exit: where it stands it stays, and where it does not it is not made.
func (e *Exit) Kept() bool {
	return e != nil && !slices.ContainsFunc(e.Members, func(member Member) bool { return !member.Observed })
}

// exitOf makes the exit. What some entry has encrypted is encrypted, and who has it otherwise has no part: nothing that
// was meant to be encrypted leaves in clear. Observed entries, which come last, encrypt nothing that others have in clear.
func exitOf(from []Member, oneTLS bool) *Exit {
	out := &Exit{oneTLS: oneTLS}
	var unencrypted map[uint32]bool
	for i, member := range from {
		if member.Observed && unencrypted == nil {
			unencrypted = inClear(from[:i])
		}
		for number, settings := range member.Definition.TLS {
			if _, taken := out.encrypted(number); !taken && !unencrypted[number] {
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
	out.Rule = out.agreed(out.Members)
	out.shut = out.closed()
	out.passing = out.passes()
	return out
}

// inClear returns the ports that some member has called as its app speaks, which is no TLS.
func inClear(of []Member) map[uint32]bool {
	out := map[uint32]bool{}
	for _, member := range of {
		for _, port := range member.Definition.Ports {
			if member.Definition.TLS[port.Number] == nil && FamilyOf(port.Protocol) != FamilyTLS {
				out[port.Number] = true
			}
		}
	}
	return out
}

// passes returns the legs by mutual TLS of all members of namespaces one of which is passing: there is one client rule for them all.
func (e *Exit) passes() (out []Leg) {
	var namespaces []string
	for _, member := range e.Members {
		if member.Passing && !slices.Contains(namespaces, member.Namespace) {
			namespaces = append(namespaces, member.Namespace)
		}
	}
	if len(namespaces) == 0 {
		return nil
	}
	for _, member := range e.Members {
		for _, leg := range member.legs() {
			if leg.Transport == MutualTLS && !slices.Contains(out, leg) && slices.Contains(namespaces, member.Namespace) {
				out = append(out, leg)
			}
		}
	}
	return out
}

func (e *Exit) add(member Member) {
	against, known := e.knows(member.Definition)
	if !known {
		against = e.against(member.Definition)
		e.know(member.Definition, against)
		if against.Owner == nil {
			e.join(member)
		}
	}
	if against.Owner == nil {
		e.Members = append(e.Members, member)
		e.distinct.add(e.Members)
		for _, leg := range member.legs() {
			if !member.Suspended && !slices.Contains(e.legs, leg) {
				e.legs = append(e.legs, leg)
			}
		}
	}
}

// knows returns what became of an entry with a definition, false where there was none.
func (e *Exit) knows(of Definition) (Contradiction, bool) {
	if len(e.Members) > 0 && e.Members[0].Definition.digest == of.digest {
		return Contradiction{}, true
	}
	out, is := e.known[of.digest]
	return out, is
}

func (e *Exit) know(of Definition, against Contradiction) {
	if len(e.Members) == 0 && against.Owner == nil {
		return // that of the oldest
	}
	if e.known == nil {
		e.known = map[digest]Contradiction{}
	}
	e.known[of.digest] = against
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

// Passes says whether some of the calls that come to the exit by a client leg come under the SNI that proxies use by themselves.
func (e *Exit) Passes(leg Leg) bool { return e != nil && slices.Contains(e.passing, leg) }

// Admits says whether the exit lets in whoever an entry of this definition does, where its gateway knows who calls.
func (e *Exit) Admits(entry *Entry, definition Definition) bool {
	of := Member{Entry: entry, Definition: definition}
	return e != nil && (entry.Transport != MutualTLS || e.some(func(member Member) bool {
		return !member.Suspended && slices.Contains(member.legs(), entry.Leg()) && member.admitsAlike(of)
	}))
}

// By returns the definition of the exit as calls of a client leg may have it: with the ports that some entry of that leg
// defines.
func (e *Exit) By(leg Leg) Definition {
	return e.Definition.only(func(port Port) bool {
		return e.some(func(member Member) bool {
			return !member.Suspended && slices.Contains(member.legs(), leg) && member.Definition.has(port.Number)
		})
	})
}
