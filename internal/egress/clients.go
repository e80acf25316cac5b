package egress

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
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

// Exports says whether an exportTo of an object of a namespace reaches another, or itself.
func Exports(exportTo []string, namespace, client string) bool {
	return exports(exportTo, namespace, client) != reachesNot
}

// ReachesOthers says whether an exportTo of an object of a namespace reaches others than that.
func ReachesOthers(exportTo []string, namespace string) bool {
	names, all := Clients(exportTo, namespace)
	return all || slices.ContainsFunc(names, func(name string) bool { return name != namespace })
}

// ExportTo reads the exportTo of an object of any kind of Istio's that has one.
func ExportTo(object *unstructured.Unstructured) []string {
	out, _, _ := unstructured.NestedStringSlice(object.Object, "spec", "exportTo")
	return out
}

// Export adds the clients that an exportTo gives an object of a namespace, which is governed itself. Accounts narrow them,
// by namespace, to some of their service accounts; nil does not.
func (f *Facts) Export(exportTo []string, namespace string, accounts map[string][]string, view View) {
	names, all := Clients(exportTo, namespace)
	if f.Accounts = accounts; accounts != nil {
		narrowed := slices.Sorted(maps.Keys(accounts))
		names = slices.DeleteFunc(narrowed, func(name string) bool { return !all && name != namespace && !slices.Contains(names, name) })
		all = false
	}
	if f.AllClients = all; all {
		f.Clients = []string{namespace}
		return
	}
	governed := view.Governed()
	f.Clients = slices.DeleteFunc(names, func(name string) bool {
		_, known := governed.Index(name)
		return !known && name != namespace
	})
	if i := slices.Index(f.Clients, namespace); i > 0 {
		f.Clients = slices.Insert(slices.Delete(f.Clients, i, i+1), 0, namespace)
	}
}

// Namespaces are the governed namespaces of a moment, sorted by name. They are shared and never change: those of another
// moment are others. The zero value has none.
type Namespaces struct {
	names  []string
	labels []map[string]string
	// ambient are two of those in ambient mode, or all: enough to say whether there is another than one.
	ambient []string
}

// NewNamespaces returns namespaces by their names, with their labels.
func NewNamespaces(named map[string]map[string]string) *Namespaces {
	out := &Namespaces{names: slices.Sorted(maps.Keys(named))}
	out.labels = make([]map[string]string, len(out.names))
	for i, name := range out.names {
		out.labels[i] = named[name]
		if len(out.ambient) < 2 && Ambient(named[name]) {
			out.ambient = append(out.ambient, name)
		}
	}
	return out
}

// Len returns how many there are.
func (n *Namespaces) Len() int { return len(n.names) }

// At returns the name and the labels of one.
func (n *Namespaces) At(i int) (name string, labels map[string]string) {
	return n.names[i], n.labels[i]
}

// Ambient says whether another one than this is in ambient mode, whose pods go by the addresses of entries, whomever they are exported to.
func (n *Namespaces) Ambient(but string) bool {
	return slices.ContainsFunc(n.ambient, func(name string) bool { return name != but })
}

// Index returns the place of one, false for one that is not among them.
func (n *Namespaces) Index(name string) (int, bool) { return slices.BinarySearch(n.names, name) }
