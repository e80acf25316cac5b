package registry

import (
	"slices"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// index has the entries of each canonical host, oldest first, all of them and by the gateway they are sealed to. A slice
// that was given out is never changed: readers hold it without a lock.
type index map[place][]*egress.Entry

// place is a host, with an empty gateway for all of its entries.
type place struct{ host, gateway string }

// places returns where an entry stands.
func places(entry *egress.Entry) []place {
	out := make([]place, 0, 2*len(entry.Hosts))
	for _, host := range entry.Hosts {
		out = append(out, place{host: host})
		if entry.Gateway != "" {
			out = append(out, place{host, entry.Gateway})
		}
	}
	return out
}

// add puts an entry in its places and returns its hosts; nil is no entry. The newest, which a new entry is, costs the
// same however many there are.
func (x index) add(entry *egress.Entry) []string {
	if entry == nil {
		return nil
	}
	for _, at := range places(entry) {
		list := x[at]
		i, _ := slices.BinarySearchFunc(list, entry, (*egress.Entry).Older)
		if i == len(list) {
			x[at] = append(list, entry)
			continue
		}
		x[at] = slices.Concat(list[:i], []*egress.Entry{entry}, list[i:])
	}
	return entry.Hosts
}

// remove takes an entry away and returns its hosts; nil is no entry.
func (x index) remove(entry *egress.Entry) []string {
	if entry == nil {
		return nil
	}
	for _, at := range places(entry) {
		list := x[at]
		i, known := slices.BinarySearchFunc(list, entry, (*egress.Entry).Older)
		switch {
		case !known:
		case len(list) == 1:
			delete(x, at)
		default:
			x[at] = slices.Concat(list[:i], list[i+1:])
		}
	}
	return entry.Hosts
}
