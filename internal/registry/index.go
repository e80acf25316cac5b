package registry

import (
	"slices"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// index has the entries of each canonical host, oldest first. A slice that was given out is never changed: readers hold
// it without a lock.
type index map[string][]*egress.Entry

// add puts an entry in its places and returns its hosts; nil is no entry. The newest, which a new entry is, costs the
// same however many there are.
func (x index) add(entry *egress.Entry) []string {
	if entry == nil {
		return nil
	}
	for _, host := range entry.Hosts {
		list := x[host]
		i, _ := slices.BinarySearchFunc(list, entry, (*egress.Entry).Older)
		if i == len(list) {
			x[host] = append(list, entry)
			continue
		}
		x[host] = slices.Concat(list[:i], []*egress.Entry{entry}, list[i:])
	}
	return entry.Hosts
}

// remove takes an entry away and returns its hosts; nil is no entry.
func (x index) remove(entry *egress.Entry) []string {
	if entry == nil {
		return nil
	}
	for _, host := range entry.Hosts {
		list := x[host]
		i, known := slices.BinarySearchFunc(list, entry, (*egress.Entry).Older)
		switch {
		case !known:
		case len(list) == 1:
			delete(x, host)
		default:
			x[host] = slices.Concat(list[:i], list[i+1:])
		}
	}
	return entry.Hosts
}
