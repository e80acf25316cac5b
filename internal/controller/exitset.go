package controller

import (
	"context"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// tenants are the namespaces whose work an exit is: those of its oldest entry and of its youngest, which may be new and wait for
// it; of one without entries, whose it was.
func (e *Exits) tenants(key exitKey) []string {
	host := key.Host
	if pair, made := e.entries.Pair(host); made {
		host = pair.Led
	}
	if entries := e.entries.Entries(host); len(entries) > 0 {
		return []string{entries[0].Namespace, entries[len(entries)-1].Namespace}
	}
	return []string{e.standing.owner(key)}
}

// gateways keeps what the egress gateways of a namespace have for all hosts: the Gateway objects of their own transports, and
// of others as long as entries are sealed for them, and what resolves the names below wildcards.
func (e *Exits) gateways(ctx context.Context, namespace string) error {
	for _, gw := range e.mesh.GatewaysIn(namespace) {
		objects, gone := e.entries.GatewayObjects(gw)
		for _, object := range objects {
			if err := e.objects.ensure(ctx, object); err != nil {
				return err
			}
		}
		for _, name := range gone {
			if err := e.drop(ctx, istio("Gateway"), types.NamespacedName{Namespace: namespace, Name: name}); err != nil {
				return err
			}
		}
		if !gw.Wildcards {
			if err := e.drop(ctx, hop.EnvoyFilter, types.NamespacedName{Namespace: namespace, Name: hop.ResolverName(gw)}); err != nil {
				return err
			}
		}
	}
	return nil
}

// drop deletes an object of ours, if it is there.
func (e *Exits) drop(ctx context.Context, kind schema.GroupVersionKind, name types.NamespacedName) error {
	stored := empty(kind)
	err := e.objects.stored.Get(ctx, name, stored)
	if err == nil {
		err = e.objects.remove(ctx, stored)
	}
	return client.IgnoreNotFound(err)
}

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
		if gw, ok := e.mesh.GatewayByName(entry.Gateway); ok && gw.Namespace() == key.Namespace {
			out = append(out, types.NamespacedName{Namespace: entry.Namespace, Name: entry.Name})
		}
	}
	return out
}
