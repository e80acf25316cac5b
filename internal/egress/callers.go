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

// Callers returns who may call a port of the exit by a client leg: the clients of the entries that define the port. Of
// the namespaces that an entry is exported to, those count that are governed.
func (e *Exit) Callers(port uint32, leg Leg, governed func(namespace string) bool) Callers {
	out := Callers{Of: map[string][]string{}}
	if e == nil {
		return out
	}
	for _, member := range e.Members {
		if member.Suspended || !slices.Contains(member.Entry.legs(), leg) || !member.Definition.has(port) {
			continue
		}
		if names, all := Clients(member.ExportTo, member.Namespace); all && member.Accounts == nil {
			return Callers{Anyone: true}
		} else if member.Accounts != nil {
			out.narrowed(member.Accounts, func(namespace string) bool {
				return namespace == member.Namespace || governed(namespace) && (all || slices.Contains(names, namespace))
			})
		} else {
			out.admit(member.Namespace, nil)
			for _, namespace := range names {
				if governed(namespace) {
					out.admit(namespace, nil)
				}
			}
		}
	}
	return out
}

func (c *Callers) narrowed(accounts map[string][]string, client func(namespace string) bool) {
	for _, namespace := range slices.Sorted(maps.Keys(accounts)) {
		if client(namespace) {
			c.admit(namespace, accounts[namespace])
		}
	}
}

// admit adds service accounts of a namespace, nil for all.
func (c *Callers) admit(namespace string, accounts []string) {
	have, known := c.Of[namespace]
	switch {
	case known && have == nil:
	case accounts == nil:
		c.Of[namespace] = nil
	default:
		all := slices.Concat(have, accounts)
		slices.Sort(all)
		c.Of[namespace] = slices.Compact(all)
	}
}

// Admits says whether some service account of a namespace may call.
func (c Callers) Admits(namespace string) bool {
	_, known := c.Of[namespace]
	return c.Anyone || known
}

// Identity returns the SPIFFE name of a service account.
func (m *Mesh) Identity(namespace, account string) string {
	return "spiffe://" + m.TrustDomain + "/ns/" + namespace + "/sa/" + account
}

// IdentityOf returns the SPIFFE name of an egress gateway's pods.
func (m *Mesh) IdentityOf(gw Gateway) string { return m.Identity(gw.Namespace(), gw.ServiceAccount) }
