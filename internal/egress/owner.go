package egress

import "slices"

// The three questions of which entry counts, where several name one host. Entries come oldest first, as View has them.

// Owner returns the entry that defines how a host is reached from the gateways of a namespace: the oldest that is
// sealed to one of them; nil for none. Gateways of one namespace share it, since that namespace has one definition of
// a host.
func (m *Mesh) Owner(view View, host, gatewayNamespace string) *Entry {
	var out *Entry
	for _, gw := range m.GatewaysIn(gatewayNamespace) {
		if entry := view.Oldest(host, gw.Name); entry != nil && (out == nil || entry.Older(out) < 0) {
			out = entry
		}
	}
	return out
}

// Serving returns the entry by which a sidecar of a namespace finds a host, as Istio chooses: the namespace's own before
// others', then one that is exported to the namespace by name before one that is exported to everybody, then the oldest;
// nil for none.
func Serving(entries []*Entry, namespace string) (out *Entry) {
	best := 0
	for _, entry := range entries {
		rank := int(entry.reaches(namespace))
		if entry.Namespace == namespace && rank > 0 {
			rank += int(reachesByName)
		}
		if rank > best {
			out, best = entry, rank
		}
	}
	return out
}

// Through returns the entry that lets a namespace reach a host by an egress gateway: the oldest that the namespace sees
// and that is sealed to it; nil for none.
func Through(entries []*Entry, namespace, gateway string) *Entry {
	for _, entry := range entries {
		if entry.Gateway == gateway && gateway != "" && entry.reaches(namespace) != reachesNot {
			return entry
		}
	}
	return nil
}

type reachKind int

const (
	reachesNot reachKind = iota
	reachesAll
	reachesByName
)

// reaches says how an entry's exportTo names a namespace. Like Istio's, "*" hides every other name, and "~" all but it.
func (e *Entry) reaches(namespace string) reachKind {
	switch {
	case len(e.ExportTo) == 0 || slices.Contains(e.ExportTo, "*"):
		return reachesAll
	case slices.Contains(e.ExportTo, "~"):
		return reachesNot
	case slices.Contains(e.ExportTo, namespace), e.Namespace == namespace && slices.Contains(e.ExportTo, "."):
		return reachesByName
	}
	return reachesNot
}
