package audit

import (
	"cmp"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/types"
)

// within returns those of the entries that a policy would suspend newly for which there is room, one of each that counts. Where all are
// too many, the namespace that has most of them waits for somebody to look, if that leaves few enough: what one tenant writes
// holds off nobody else's suspension.
func within(added map[types.NamespacedName]string, found map[objectKey]judged, free int) (room map[types.NamespacedName]string, spent []types.NamespacedName) {
	parts := map[string][]types.NamespacedName{}
	for name := range added {
		parts[name.Namespace] = append(parts[name.Namespace], name)
	}
	total := 0
	for namespace, names := range parts {
		parts[namespace] = apart(names, found)
		total += len(parts[namespace])
	}
	room = maps.Clone(added)
	if total > free {
		most := slices.MaxFunc(slices.Sorted(maps.Keys(parts)), func(x, y string) int { return cmp.Compare(len(parts[x]), len(parts[y])) })
		if total -= len(parts[most]); total > free {
			return nil, nil
		}
		delete(parts, most)
		maps.DeleteFunc(room, func(name types.NamespacedName, _ string) bool { return name.Namespace == most })
	}
	for _, names := range parts {
		spent = append(spent, names...)
	}
	return room, spent
}

// apart returns the first of those entries of a namespace that have a host in common, by one or by several: copies of an entry take no
// more calls than it does, and count as one.
func apart(names []types.NamespacedName, found map[objectKey]judged) (out []types.NamespacedName) {
	slices.SortFunc(names, func(x, y types.NamespacedName) int { return cmp.Compare(x.Name, y.Name) })
	group, of := make([]int, len(names)), map[string]int{}
	var first func(i int) int
	first = func(i int) int {
		if group[i] != i {
			group[i] = first(group[i])
		}
		return group[i]
	}
	for i, name := range names {
		group[i] = i
		for _, host := range found[objectKey{serviceEntry, name.Namespace, name.Name}].hosts {
			if other, known := of[host]; known {
				x, y := first(i), first(other)
				group[max(x, y)] = min(x, y)
			}
			of[host] = i
		}
	}
	for i := range names {
		if first(i) == i {
			out = append(out, names[i])
		}
	}
	return out
}
