package egress

import (
	"slices"
)

// The clients of an entry, or of the routes of a VirtualService, are the namespaces whose sidecars see it.

// Clients returns the namespaces that an exportTo of an object of a namespace reaches, sorted, its own among them where it
// is reached; all says that it reaches every namespace.
func Clients(exportTo []string, namespace string) (names []string, all bool) {
	if len(exportTo) == 0 || slices.Contains(exportTo, "*") {
		return nil, true
	}
	if slices.Contains(exportTo, "~") {
		return nil, false
	}
	for _, to := range exportTo {
		if to == "." {
			to = namespace
		}
		names = append(names, to)
	}
	slices.Sort(names)
	return slices.Compact(names), false
}
