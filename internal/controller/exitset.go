package controller

import (
	"context"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// tenant is the namespace whose exit it is: that of its oldest entry.
func (e *Exits) tenant(key exitKey) string {
	host := key.Host
	if pair, made := e.entries.Pair(host); made {
		host = pair.Led
	}
	if owner := e.entries.Exit(host, key.Namespace).Owner(); owner != nil {
		return owner.Namespace
	}
	return ""
}

// foreign returns why there can be no exit: somebody's rule in the gateways' namespace is applied to the host's calls,
// with or in the place of the exit's own, and what was to be encrypted might leave in clear.
func (e *Exits) foreign(key exitKey, exit *egress.Exit) error {
	rule := e.entries.Rule(key.Namespace, key.Host)
	if exit == nil || !rule.HasPolicy() {
		return nil
	}
	encrypts := slices.ContainsFunc(exit.Definition.Ports, func(port egress.Port) bool { return rule.TLS(port.Number) != nil })
	if !encrypts && (rule.Host != key.Host || len(exit.Definition.TLS) == 0) {
		return nil
	}
	return fmt.Errorf("DestinationRule %s/%s, with host %q, is applied by the egress gateway to calls of host %q; remove it, or move it to a namespace of the host's entries",
		rule.Namespace, rule.Name, rule.Host, key.Host)
}

// pairSet returns the exit of a pair; nothing once no route makes it.
func (e *Exits) pairSet(key exitKey) []hop.Object {
	pair, made := e.entries.Pair(key.Host)
	if !made {
		return nil
	}
	return hop.PairSet(e.mesh, e.entries.Exit(pair.Led, key.Namespace), e.entries, key.Namespace, pair)
}

// gateways keeps the Gateway objects of the egress gateways of a namespace: of their own transports, and of others as long
// as entries are sealed for them.
func (e *Exits) gateways(ctx context.Context, namespace string) error {
	for _, gw := range e.mesh.GatewaysIn(namespace) {
		for _, transport := range egress.Transports() {
			by := gw.By(transport)
			object := hop.GatewayObject(gw, transport)
			if object != nil && (transport == gw.Transport || e.entries.Uses(by.Leg())) {
				if err := e.objects.ensure(ctx, object); err != nil {
					return err
				}
				continue
			}
			stored := empty(istio("Gateway"))
			err := e.objects.stored.Get(ctx, types.NamespacedName{Namespace: namespace, Name: hop.GatewayName(by)}, stored)
			if err == nil {
				err = e.objects.remove(ctx, stored)
			}
			if client.IgnoreNotFound(err) != nil {
				return err
			}
		}
	}
	return nil
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
