package egress

import (
	"maps"
	"slices"
)

// Callers are the identities that may call a port of an exit, where the gateway knows who calls.
type Callers struct {
	// Anyone says that every identity of the mesh may.
	Anyone bool
	// Of has service accounts by namespace; nil for all that the namespace has.
	Of map[string][]string
}

// Grants are callers by the namespace whose entries let them in.
type Grants map[string]Callers

// Callers returns who may call a port of the exit by a client leg: the clients of the entries that define the port. Of
// the namespaces that an entry is exported to, those count that are governed.
func (e *Exit) Callers(port uint32, leg Leg, governed func(namespace string) bool) Callers {
	return e.Grants(port, leg, governed).all()
}

// Grants returns the same by who lets them in.
func (e *Exit) Grants(port uint32, leg Leg, governed func(namespace string) bool) Grants {
	return e.grants(leg, governed, func(member Member) bool { return member.Definition.has(port) })
}

// GrantsByCertificate are those of a port that the gateway encrypts with a client's certificate: of entries whose
// namespace's rule has it so. An app that speaks TLS to the same port brings none, and is lent none.
func (e *Exit) GrantsByCertificate(port uint32, leg Leg, governed func(namespace string) bool) Grants {
	return e.grants(leg, governed, func(member Member) bool { return member.Definition.TLS[port] != nil })
}

func (e *Exit) grants(leg Leg, governed func(namespace string) bool, defines func(Member) bool) Grants {
	out := Grants{}
	if e == nil {
		return out
	}
	for _, i := range e.distinct.places {
		if member := e.Members[i]; !member.Suspended && slices.Contains(member.legs(), leg) && defines(member) {
			out.add(member.Namespace, member.callers(governed))
		}
	}
	return out.sorted()
}

// callers are those that the entry lets in.
func (e *Entry) callers(governed func(namespace string) bool) Callers {
	out := Callers{Of: map[string][]string{}}
	names, all := Clients(e.ExportTo, e.Namespace)
	switch {
	case all && e.Accounts == nil:
		return Callers{Anyone: true}
	case e.Accounts != nil:
		out.narrowed(e.Accounts, func(namespace string) bool {
			return namespace == e.Namespace || governed(namespace) && (all || slices.Contains(names, namespace))
		})
	default:
		out.admit(e.Namespace, nil)
		for _, namespace := range names {
			if governed(namespace) {
				out.admit(namespace, nil)
			}
		}
	}
	return out
}

// Add takes in those of others.
func (g Grants) Add(others Grants) {
	for namespace, callers := range others {
		g.add(namespace, callers)
	}
	g.sorted()
}

func (g Grants) add(namespace string, callers Callers) {
	out, known := g[namespace]
	if !known {
		out.Of = map[string][]string{}
	}
	out.Anyone = out.Anyone || callers.Anyone
	for of, accounts := range callers.Of {
		out.admit(of, accounts)
	}
	g[namespace] = out
}

// sorted has service accounts in order, each once.
func (g Grants) sorted() Grants {
	for _, callers := range g {
		callers.sort()
	}
	return g
}

// Anyone says that some of them let in every identity of the mesh.
func (g Grants) Anyone() bool {
	for _, callers := range g {
		if callers.Anyone {
			return true
		}
	}
	return false
}

// all returns the callers, whoever lets them in.
func (g Grants) all() Callers {
	out := Callers{Of: map[string][]string{}}
	if g.Anyone() {
		return Callers{Anyone: true}
	}
	for _, callers := range g {
		for namespace, accounts := range callers.Of {
			out.admit(namespace, accounts)
		}
	}
	out.sort()
	return out
}

func (c *Callers) narrowed(accounts map[string][]string, client func(namespace string) bool) {
	for _, namespace := range slices.Sorted(maps.Keys(accounts)) {
		if client(namespace) {
			c.admit(namespace, accounts[namespace])
		}
	}
}

// admit adds service accounts of a namespace, nil for all. The lists are its own.
func (c *Callers) admit(namespace string, accounts []string) {
	have, known := c.Of[namespace]
	switch {
	case known && have == nil:
	case accounts == nil:
		c.Of[namespace] = nil
	case !known:
		c.Of[namespace] = append([]string{}, accounts...)
	default:
		c.Of[namespace] = append(have, accounts...)
	}
}

func (c *Callers) sort() {
	for namespace, accounts := range c.Of {
		if accounts != nil {
			slices.Sort(accounts)
			c.Of[namespace] = slices.Compact(accounts)
		}
	}
}

// And returns those who are callers by both.
func (c Callers) And(other Callers) Callers {
	switch {
	case c.Anyone:
		return other
	case other.Anyone:
		return c
	}
	out := Callers{Of: map[string][]string{}}
	for namespace, accounts := range c.Of {
		others, known := other.Of[namespace]
		switch {
		case !known:
		case accounts == nil:
			out.admit(namespace, others)
		case others == nil:
			out.admit(namespace, accounts)
		default:
			out.admit(namespace, slices.DeleteFunc(slices.Clone(accounts), func(account string) bool { return !slices.Contains(others, account) }))
		}
	}
	return out
}

// Admits says whether a service account of a namespace may call.
func (c Callers) Admits(namespace, account string) bool {
	accounts, known := c.Of[namespace]
	return c.Anyone || known && (accounts == nil || slices.Contains(accounts, account))
}

// Identity returns the SPIFFE name of a service account.
func (m *Mesh) Identity(namespace, account string) string {
	return "spiffe://" + m.TrustDomain + "/ns/" + namespace + "/sa/" + account
}

// IdentityOf returns the SPIFFE name of an egress gateway's pods.
func (m *Mesh) IdentityOf(gw Gateway) string { return m.Identity(gw.Namespace(), gw.ServiceAccount) }
