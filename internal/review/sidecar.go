package review

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// sidecarIntent reads the annotation where it tells of what is or will be completed. Anywhere else it is a tenant's word without
// effect, and the spec itself is what counts.
func sidecarIntent(s *subject, sidecar *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	if !s.closes() {
		return sidecar.DeepCopy(), nil
	}
	return hop.SidecarIntent(sidecar)
}

// closes says whether the subject's namespace is closed to hosts that no entry names. A Sidecar of Istio's own namespace is
// that of namespaces which are not governed, too.
func (s *subject) closes() bool { return s.Mesh.Block && s.Namespace.Name != s.Mesh.IstioNamespace }

func closeSidecar(s *subject) (*unstructured.Unstructured, error) {
	out := s.intent.DeepCopy()
	if !s.closes() {
		return out, nil
	}
	return out, hop.CloseSidecar(out)
}

func examineSidecar(s *subject) (egress.Facts, hop.Refusals) {
	facts := egress.Facts{Gateway: s.gateway.Name}
	if !s.closes() {
		return facts, nil
	}
	out := hop.CheckSidecar(s.Object)
	if s.Object.GetName() == hop.ClosingName && !hop.SidecarIsWide(s.Object) {
		out = append(out, egress.Finding{
			Code: "closing-name", Field: "metadata.name",
			Message: fmt.Sprintf("%s is the name of the Sidecar that closes the namespace, and one for some workloads in its place would leave the others open", hop.ClosingName),
			Fix:     "give the Sidecar another name",
		})
	}
	return facts, out
}

// keptSidecar says whether the subject is the Sidecar that the controller keeps, beside some Sidecar of Istio's root namespace or none: its
// mark is the controller's alone (guard exitSets).
func keptSidecar(s *subject) bool {
	is := func(root *unstructured.Unstructured) bool {
		return equality.Semantic.DeepEqual(s.Object.Object["spec"], hop.Sidecar(s.Namespace.Name, root).Object["spec"])
	}
	return s.closes() && hop.IsClosing(s.Object) && (is(nil) || is(s.Object))
}

func sidecarChanges(s *subject) (out []string) {
	if s.closes() && hop.SidecarMode(s.intent) == "" {
		out = append(out, "spec.outboundTrafficPolicy: stored as REGISTRY_ONLY, so that calls to hosts that no ServiceEntry names are dropped")
	}
	if hidden := hiddenHosts(s); len(hidden) > 0 {
		out = append(out, fmt.Sprintf("spec.egress: %q, of the namespace's own ServiceEntries, is not imported (and %d more): calls to it fail, or leave past the egress gateway where the mesh lets everything out; import \"./*\"",
			hidden[0], len(hidden)-1))
	}
	return out
}

// hiddenHosts returns the hosts of the namespace's own entries that its Sidecar for all workloads hides from them, or some ports of
// them, sorted. One for some workloads may well leave out what they do not call.
func hiddenHosts(s *subject) (out []string) {
	imports := importsOf(s.intent, s.Namespace.Name)
	if len(imports.ports) == 0 || !hop.SidecarIsWide(s.intent) || s.Namespace.Name == s.Mesh.IstioNamespace {
		return nil
	}
	for _, host := range s.View.Below("*") {
		entries := s.View.Entries(host)
		own := func(entry *egress.Entry) bool { return entry.Namespace == s.Namespace.Name && entry.Gateway != "" }
		if slices.ContainsFunc(entries, own) && !slices.ContainsFunc(entries, func(entry *egress.Entry) bool {
			return egress.Exports(entry.ExportTo, entry.Namespace, s.Namespace.Name) && imports.all(entry.Namespace, host, entry.Ports)
		}) {
			out = append(out, host)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// listener is one of a Sidecar, for calls of a port, 0 for those that no other has: what of that which it imports it leaves out, as
// namespace/host.
type listener struct {
	port   uint32
	except map[string]bool
}

// imports are the listeners of a Sidecar, by what they import, as namespace/host: there may be thousands, of which few name a host.
type imports struct {
	listeners map[string][]*listener
	ports     map[uint32]bool
}

// importsOf returns the listeners of a Sidecar; none where it imports everything.
func importsOf(sidecar *unstructured.Unstructured, namespace string) imports {
	listeners, _, _ := unstructured.NestedSlice(sidecar.Object, "spec", "egress")
	out := imports{map[string][]*listener{}, map[uint32]bool{}}
	for _, item := range listeners {
		of, _ := item.(map[string]any)
		hosts, _, _ := unstructured.NestedStringSlice(of, "hosts")
		next := &listener{egress.PortOf(of), map[string]bool{}}
		out.ports[next.port] = true
		for _, written := range hosts {
			of, host, _ := strings.Cut(written, "/")
			rest, left := strings.CutPrefix(of, "~")
			if left {
				of = cmp.Or(rest, "*")
			}
			if of == "." {
				of = namespace
			}
			// As it is written: entries are stored in the one spelling, and no other imports them.
			name := of + "/" + host
			if left {
				next.except[name] = true
			} else if known := out.listeners[name]; len(known) == 0 || known[len(known)-1] != next {
				out.listeners[name] = append(known, next)
			}
		}
	}
	return out
}

// all says whether a host of a namespace is imported for calls of each of its ports.
func (i imports) all(namespace, host string, ports []egress.Port) bool {
	var names []string
	for _, pattern := range egress.Patterns(host) {
		names = append(names, namespace+"/"+pattern, "*/"+pattern)
	}
	imported := map[uint32]bool{}
	for _, name := range names {
		for _, of := range i.listeners[name] {
			if !imported[of.port] {
				imported[of.port] = !slices.ContainsFunc(names, func(name string) bool { return of.except[name] })
			}
		}
	}
	return !slices.ContainsFunc(ports, func(port egress.Port) bool {
		if !i.ports[port.Number] {
			return !imported[0]
		}
		return !imported[port.Number]
	})
}
