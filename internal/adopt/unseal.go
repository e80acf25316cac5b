package adopt

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/dryrun"
	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/internal/manifest"
)

// Return is a stored object that goes back to what its author wrote.
type Return struct {
	manifest.Object
	// Intent is what the author wrote, nil for an entry that is unsealed and whose exit alone is still to be released.
	Intent *unstructured.Unstructured
	// Hosts are those of an entry, with their ports.
	Hosts []string
	// Beside are the names that client rules beside an entry have where it is sealed by mutual TLS, Rules those of them that can be gone before it
	// goes back.
	Beside, Rules []string
	// Joined says that the next one goes back in the request right after it.
	Joined bool
}

// Names says whether one of the names, of a namespace or of a ServiceEntry with its namespace, is that of an object; all are where
// there are no names.
func Names(names []string, object *unstructured.Unstructured) bool {
	return len(names) == 0 || slices.Contains(names, object.GetNamespace()) || object.GetKind() == "ServiceEntry" && slices.Contains(names, object.GetNamespace()+"/"+object.GetName())
}

// Unseal plans how stored objects go back: each entry with the rules of its hosts, before the routes that lead to them. Names
// are those of namespaces, and of ServiceEntries with theirs; without any everything goes back. The session governs the namespaces, and
// holds nothing yet; governed are those of which the controllers keep the routes as they are to be. The error is that of something whose
// intent cannot be told, or that cannot go back without another.
func Unseal(session *dryrun.Session, stored []manifest.Object, names []string, governed func(namespace string) bool) ([]Return, error) {
	if err := errors.Join(unknown(names, stored), session.Store(stored...), session.Assume(stored...)); err != nil {
		return nil, err
	}
	all, err := returns(session, stored)
	if err != nil {
		return nil, err
	}
	b := back{session: session, names: names, going: map[string]bool{}, staying: map[string]bool{}, taken: map[string]bool{}, rules: rulesOf(session, stored)}
	for _, of := range all {
		if of.GetKind() == "ServiceEntry" {
			for _, host := range hostsOf(of.Unstructured) {
				at := of.GetNamespace() + " " + host
				b.going[at] = b.going[at] || Names(names, of.Unstructured)
				b.going[host] = b.going[host] || Names(names, of.Unstructured)
				b.staying[at] = b.staying[at] || !Names(names, of.Unstructured) && of.Intent != nil
			}
		}
	}
	for _, of := range all {
		if of.GetKind() == "ServiceEntry" && Names(names, of.Unstructured) {
			b.entry(of, all)
		}
	}
	for _, of := range all {
		if of.GetKind() != "ServiceEntry" && !b.taken[manifest.Name(of.Unstructured)] {
			b.routes(of, governed)
		}
	}
	return b.out, errors.Join(b.errs...)
}

// unknown is the error of names that nothing stored has.
func unknown(names []string, stored []manifest.Object) error {
	known := map[string]bool{}
	for _, object := range stored {
		known[object.GetNamespace()] = true
		switch object.GetKind() {
		case "Namespace":
			known[object.GetName()] = true
		case "ServiceEntry":
			known[object.GetNamespace()+"/"+object.GetName()] = true
		}
	}
	var errs []error
	for _, name := range names {
		switch isEntry := strings.Contains(name, "/"); {
		case known[name]:
		case isEntry:
			errs = append(errs, fmt.Errorf("there is no ServiceEntry %s", name))
		default:
			errs = append(errs, fmt.Errorf("there is no namespace %s", name))
		}
	}
	return errors.Join(errs...)
}

// back is what goes back so far.
type back struct {
	session *dryrun.Session
	names   []string
	// going are the hosts whose entries go back, staying those of others that are sealed: by namespace, and going by themselves too.
	going, staying, taken map[string]bool
	// rules are those of authors, by namespace.
	rules map[string][]*egress.Rule
	out   []Return
	errs  []error
}

// entry takes in an entry, and the rules of its hosts. Those that encrypt its calls come right before it, and after them the routes that have calls ask
// for a TLS port at another: between these writes calls may fail, and none leaves in clear. Those of its own namespace that do not come first where its
// calls come by mutual TLS.
func (b *back) entry(of Return, all []Return) {
	hosts := hostsOf(of.Unstructured)
	for _, host := range hosts {
		if b.staying[of.GetNamespace()+" "+host] {
			b.errs = append(b.errs, fmt.Errorf("ServiceEntry %s/%s cannot go back alone: another of the namespace has host %s too; name both, or the namespace", of.GetNamespace(), of.GetName(), host))
		}
	}
	of.Beside, of.Rules = b.clientRules(of)
	var before, after []Return
	for _, rule := range all {
		if rule.GetKind() != "DestinationRule" || b.taken[manifest.Name(rule.Unstructured)] || rule.GetNamespace() != of.GetNamespace() ||
			!slices.ContainsFunc(about(rule.Intent, b.session.Mesh()), func(host string) bool { return slices.Contains(hosts, host) }) {
			continue
		}
		b.taken[manifest.Name(rule.Unstructured)] = true
		switch {
		case encrypts(b.session.Mesh().ReadRule(rule.Intent), of.Unstructured):
			before = append(before, rule)
		case len(of.Rules) > 0:
			// As it was written it leaves to proxies how they call, as the client rule's going does.
			b.out = append(b.out, rule)
		default:
			after = append(after, rule)
		}
	}
	together := slices.Concat(before, b.asking(hosts, all), []Return{of}, after)
	for i := range together {
		together[i].Joined = i < len(together)-1
	}
	b.out = append(b.out, together...)
}

// asking takes in the routes by which HTTP for a TLS port of hosts goes by another of them, as it does by mutual TLS alone.
func (b *back) asking(hosts []string, all []Return) (out []Return) {
	for _, of := range all {
		if of.GetKind() == "VirtualService" && !b.taken[manifest.Name(of.Unstructured)] && Names(b.names, of.Unstructured) && ledByAnother(of, hosts) {
			b.taken[manifest.Name(of.Unstructured)] = true
			out = append(out, of)
		}
	}
	return out
}

// ledByAnother says whether routes are stored with another port of one of these hosts than their author wrote.
func ledByAnother(of Return, hosts []string) bool {
	stored, written := egress.Destinations(of.Unstructured), egress.Destinations(of.Intent)
	for i, d := range stored {
		if i < len(written) && d.Host() != "" && d.Port() != written[i].Port() && slices.Contains(hosts, egress.Canonical(d.Host())) && egress.Canonical(d.Host()) == egress.Canonical(written[i].Host()) {
			return true
		}
	}
	return false
}

// routes takes in what leads to hosts that go back, and whatever else of the namespaces is not as it was written.
func (b *back) routes(of Return, governed func(namespace string) bool) {
	namespace, goes, stays := of.GetNamespace(), "", ""
	for _, host := range about(of.Intent, b.session.Mesh()) {
		at := namespace + " " + host
		switch {
		case b.staying[at]:
			stays = host
		case b.going[at], b.going[host]:
			goes = host
		}
	}
	named := Names(b.names, of.Unstructured)
	switch {
	case named, goes != "" && stays == "" && slices.ContainsFunc(b.names, func(name string) bool { return NamespaceOf(name) == namespace }):
		b.out = append(b.out, of)
	case goes != "" && !governed(namespace):
		b.errs = append(b.errs, fmt.Errorf("host %s cannot go back alone: %s %s/%s leads its calls to the egress gateway; name namespace %s as well",
			goes, of.GetKind(), namespace, of.GetName(), namespace))
	}
}

// returns are all objects that are stored otherwise than they were written.
func returns(session *dryrun.Session, stored []manifest.Object) (out []Return, err error) {
	var errs []error
	for _, object := range inTurn(stored) {
		if session.Keeps(object.Unstructured) {
			continue
		}
		intent, err := session.Intent(object)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", manifest.Name(object.Unstructured), err))
			continue
		}
		of := Return{Object: object}
		if object.GetKind() == "ServiceEntry" {
			of.Hosts, _ = leaving(intent) // what cannot be read was not sealed
		}
		same := equality.Semantic.DeepEqual(intent.Object["spec"], object.Object["spec"]) && maps.Equal(intent.GetLabels(), object.GetLabels())
		switch {
		case !same:
			of.Intent = intent
		case object.GetKind() != "ServiceEntry" || !hop.Held(object.Unstructured):
			continue
		}
		out = append(out, of)
	}
	return out, errors.Join(errs...)
}

// hostsOf returns the hosts of an entry.
func hostsOf(entry *unstructured.Unstructured) (out []string) {
	for _, host := range egress.Hosts(entry) {
		out = append(out, egress.Canonical(host))
	}
	return out
}

// Namespaces returns those of objects that go back, sorted.
func Namespaces(of []Return) []string {
	out := map[string]bool{}
	for _, each := range of {
		out[each.GetNamespace()] = true
	}
	return slices.Sorted(maps.Keys(out))
}

// NamespaceOf is that of a name as Unseal takes it.
func NamespaceOf(name string) string {
	namespace, _, _ := strings.Cut(name, "/")
	return namespace
}
