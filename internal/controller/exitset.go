package controller

import (
	"cmp"
	"context"
	"slices"

	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// tenants are the namespaces whose work an exit is: those of its oldest entry and of its youngest, which may be new and wait for
// it; of one without entries, whose it was.
func (e *Exits) tenants(key exitKey) []string {
	if entries := e.entries.Entries(e.entries.Reached(key.Host)); len(entries) > 0 {
		return []string{entries[0].Namespace, entries[len(entries)-1].Namespace}
	}
	return []string{e.standing.owner(key)}
}

// stands says whether something of an exit set is stored.
func (e *Exits) stands(ctx context.Context, key exitKey) (bool, error) {
	e.objects.expected.dropOthers(key.Namespace, key.Host, nil)
	for _, kind := range e.kinds {
		stored, err := e.objects.of(ctx, kind, key.Namespace, key.Host)
		if err != nil || len(stored) > 0 {
			return err == nil, err
		}
	}
	return false, nil
}

// asItLeads leaves out of an exit set what says where its host is, and how it is called, where that is stored, and returns what stays for it:
// nobody was asked about what observed entries say now.
func (e *Exits) asItLeads(ctx context.Context, key exitKey, set []hop.Object) (rest []hop.Object, stays []objectName, err error) {
	if len(set) == 0 {
		return nil, nil, nil
	}
	for _, kind := range []schema.GroupVersionKind{istio("ServiceEntry"), istio("DestinationRule")} {
		stored, err := e.objects.of(ctx, kind, key.Namespace, key.Host)
		if err != nil || len(stays)+len(stored) == 0 {
			return set, nil, err
		}
		for i := range stored {
			stays = append(stays, nameOf(&stored[i]))
		}
	}
	return slices.DeleteFunc(set, func(object hop.Object) bool {
		if rule, is := object.(*unstructured.Unstructured); is {
			return rule.GetKind() == "DestinationRule"
		}
		_, is := object.(*networkingv1.ServiceEntry)
		return is
	}), stays, nil
}

// gateways keeps what the egress gateways of a namespace have for all hosts: the Gateway objects of their own transports, and
// of others as long as entries are sealed for them, and what resolves the names below wildcards. It looks at what is stored where
// that is told to have changed, or where something else is to be stored than before, and not for each host.
func (e *Exits) gateways(ctx context.Context, namespace string, changed bool) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, gw := range e.mesh.GatewaysIn(namespace) {
		if err := e.open(ctx, gw, changed); err != nil {
			return err
		}
	}
	return nil
}

// open does that for one egress gateway. The lock is held, so that nobody takes away what another has just put there.
func (e *Exits) open(ctx context.Context, gw egress.Gateway, changed bool) error {
	objects, gone := e.entries.GatewayObjects(gw)
	names := make([]string, len(objects))
	for i, object := range objects {
		names[i] = object.GetName()
	}
	if last, is := e.opened[gw.Name]; is && slices.Equal(last, names) && !changed {
		return nil
	}
	delete(e.opened, gw.Name)
	for _, object := range objects {
		if err := e.objects.ensure(ctx, object); err != nil {
			return err
		}
	}
	for _, name := range gone {
		if err := e.objects.drop(ctx, istio("Gateway"), types.NamespacedName{Namespace: gw.Namespace(), Name: name}, always); err != nil {
			return err
		}
	}
	if !gw.Wildcards {
		if err := e.objects.drop(ctx, hop.EnvoyFilter, types.NamespacedName{Namespace: gw.Namespace(), Name: hop.ResolverName(gw)}, always); err != nil {
			return err
		}
	}
	if e.opened == nil {
		e.opened = map[string][]string{}
	}
	e.opened[gw.Name] = names
	return nil
}

func always(*unstructured.Unstructured) bool { return true }

// ofToday says whether an object of ours is for a gateway of the configuration: whoever takes a gateway out of it may
// still have entries that lead there.
func ofToday(mesh *egress.Mesh, object *unstructured.Unstructured) bool {
	name, given := object.GetLabels()[hop.GatewayLabel]
	_, known := mesh.GatewayByName(name)
	return known || !given
}

// sealedIn returns the entries whose calls the exit set carries.
func (e *Exits) sealedIn(key exitKey) (out []types.NamespacedName) {
	for _, entry := range e.entries.Entries(key.Host) {
		if gw, ok := e.mesh.GatewayByName(cmp.Or(entry.Gateway, entry.Moving.Gateway)); ok && gw.Namespace() == key.Namespace {
			out = append(out, types.NamespacedName{Namespace: entry.Namespace, Name: entry.Name})
		}
	}
	return out
}
