package egress

import (
	"cmp"
	"maps"
	"slices"
)

// Which entry counts for a client, where several name one host. Entries come oldest first, as View has them.

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

// Servings returns what Serving does of each of several namespaces, those left out that find none. It goes over the entries once, however
// many ask.
func Servings(entries []*Entry, namespaces []string) map[string]*Entry {
	asked, best, out := setOf(namespaces), map[string]int{}, map[string]*Entry{}
	var everybody *Entry
	for _, entry := range entries {
		offer := func(name string, rank reachKind) {
			if name == "." || name == entry.Namespace {
				name, rank = entry.Namespace, rank+reachesByName
			}
			if asked[name] && int(rank) > best[name] {
				out[name], best[name] = entry, int(rank)
			}
		}
		switch {
		case entry.reaches("") == reachesAll:
			everybody = cmp.Or(everybody, entry)
			offer(".", reachesAll)
		case !slices.Contains(entry.ExportTo, "~"):
			for _, name := range entry.ExportTo {
				offer(name, reachesByName)
			}
		}
	}
	for name := range asked {
		if out[name] == nil && everybody != nil {
			out[name] = everybody
		}
	}
	return out
}

// Askers returns the namespaces that may find a host of entries by another than everybody does, some more than once, and "" for one that
// finds it as everybody.
func Askers(entries []*Entry) []string {
	out := []string{""}
	for _, entry := range entries {
		names, all := Clients(entry.ExportTo, entry.Namespace)
		if all {
			names = []string{entry.Namespace}
		}
		out = append(out, names...)
	}
	return out
}

// Concerned returns the entry whose calls are under what a namespace writes of a host, by rules and routes: the one by which its own
// sidecars find the host, and before another namespace's one of its own that others alone see, since these look for rules in the
// namespace of the entry, and apply routes that are exported to them; nil for none. One that is not sealed comes first: calls by it leave
// past every gateway.
func Concerned(entries []*Entry, namespace string) *Entry {
	serving := Serving(entries, namespace)
	if serving != nil && (serving.Namespace == namespace || serving.Gateway == "") {
		return serving
	}
	for _, entry := range entries {
		if entry.shown(namespace) && (serving == nil || entry.Gateway != "") {
			return entry
		}
	}
	return serving
}

// PortsBeside returns the ports of an entry, nil for none, and of those that its namespace has beside it at the same gateway, each once.
func PortsBeside(of *Entry, entries []*Entry) []Port {
	if of == nil {
		return nil
	}
	out := slices.Clip(of.Ports)
	for _, entry := range entries {
		if entry == of || entry.Namespace != of.Namespace || entry.Gateway != of.Gateway {
			continue
		}
		for _, port := range entry.Ports {
			if !slices.ContainsFunc(out, func(other Port) bool { return other.Number == port.Number }) {
				out = append(out, port)
			}
		}
	}
	return out
}

// shown says whether a namespace has the entry for others.
func (e *Entry) shown(namespace string) bool {
	names, all := Clients(e.ExportTo, e.Namespace)
	return e.Namespace == namespace && (all || len(names) > 0)
}

// Hidden returns a port of one of two entries of a host in a namespace, the older given first, that its clients do not
// get to see: Istio joins the two only where they are alike in all but ports, and else takes one of them; 0 for none.
func Hidden(older, younger *Entry) uint32 {
	if older.Resolution == younger.Resolution && maps.Equal(older.Labels, younger.Labels) &&
		maps.Equal(setOf(older.ExportTo), setOf(younger.ExportTo)) {
		return 0
	}
	taken, left := older, younger
	if Serving([]*Entry{older, younger}, older.Namespace) == younger {
		taken, left = younger, older
	}
	for _, port := range left.Ports {
		if !slices.ContainsFunc(taken.Ports, func(p Port) bool { return p.Number == port.Number }) {
			return port.Number
		}
	}
	return 0
}

func setOf(list []string) map[string]bool {
	out := make(map[string]bool, len(list))
	for _, item := range list {
		out[item] = true
	}
	return out
}

// Through returns the entry that lets those whose calls a namespace's routes lead reach a host by an egress gateway: the oldest that the
// namespace sees, or has for others, and that is sealed to it; nil for none.
func Through(entries []*Entry, namespace, gateway string) *Entry {
	for _, entry := range entries {
		if entry.Gateway == gateway && gateway != "" && (entry.reaches(namespace) != reachesNot || entry.shown(namespace)) {
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

// reaches says how an entry's exportTo names a namespace.
func (e *Entry) reaches(namespace string) reachKind {
	return exports(e.ExportTo, e.Namespace, namespace)
}

// exports says how an exportTo of an object of a namespace names a client. Like Istio's, "*" hides every other name, and "~" all but it.
func exports(exportTo []string, namespace, client string) reachKind {
	switch {
	case len(exportTo) == 0 || slices.Contains(exportTo, "*"):
		return reachesAll
	case slices.Contains(exportTo, "~"):
		return reachesNot
	case slices.Contains(exportTo, client), namespace == client && slices.Contains(exportTo, "."):
		return reachesByName
	}
	return reachesNot
}
