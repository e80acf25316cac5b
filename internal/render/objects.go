package render

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/json"

	"github.com/egress-governor/egress-governor/internal/hop"
)

// Objects returns all that the cluster holds once the controllers are done, in the order in which it was made: what was
// applied, and then exit sets, client rules, what closes namespaces, and the policies of waypoints. What they make takes the place
// of what there is of the same name. The error names the host that can have no exit.
func (c *Cluster) Objects() ([]*unstructured.Unstructured, error) {
	if err := c.settle(); err != nil {
		return nil, err
	}
	var out []*unstructured.Unstructured
	place := map[key]int{}
	for i, name := range c.names() {
		out, place[name] = append(out, c.objects[name]), i
	}
	made, err := c.exits()
	if err != nil {
		return nil, err
	}
	for _, object := range append(made, c.beside()...) {
		plain, err := untyped(object)
		if err != nil {
			return nil, err
		}
		if i, is := place[keyOf(plain)]; is {
			out[i] = plain
			continue
		}
		out = append(out, plain)
	}
	return out, nil
}

// exits returns what the egress gateways' namespaces are to hold.
func (c *Cluster) exits() (out []hop.Object, err error) {
	namespaces := map[string]bool{}
	for _, gw := range c.mesh.Gateways {
		namespaces[gw.Namespace()] = true
		objects, _ := c.index.GatewayObjects(gw)
		out = append(out, objects...)
	}
	for _, namespace := range slices.Sorted(maps.Keys(namespaces)) {
		for _, host := range c.index.Exits() {
			set, err := c.index.ExitSet(namespace, host)
			if err != nil {
				return nil, fmt.Errorf("host %s: %w", host, err)
			}
			out = append(out, set...)
		}
	}
	return out, nil
}

// beside returns what governed namespaces are to hold beside their authors' objects.
func (c *Cluster) beside() (out []hop.Object) {
	governed := c.index.Governed()
	for i := range governed.Len() {
		namespace, _ := governed.At(i)
		if len(c.mesh.GatewaysIn(namespace)) > 0 {
			continue
		}
		for _, host := range c.index.Exits() {
			spec, gateway := hop.ClientRuleSpec(c.mesh, c.index, namespace, host)
			if rule := hop.ClientRule(namespace, host, spec, gateway); rule != nil {
				out = append(out, rule)
			}
			routes, _ := c.index.ClientRoutes(namespace, host)
			for _, route := range routes {
				out = append(out, route)
			}
		}
		if c.mesh.Block && !c.closed(namespace) {
			out = append(out, hop.Sidecar(namespace, nil))
		}
	}
	for _, name := range c.names() {
		if stored := c.index.Stored(name.NamespacedName); name.Kind == "ServiceEntry" && stored != nil && stored.Entry != nil {
			if policy := hop.WaypointPolicy(stored.Entry, hop.WaypointPolicySpec(c.mesh, c.index, stored.Entry)); policy != nil {
				out = append(out, policy)
			}
		}
	}
	return out
}

// closed says whether a namespace has a Sidecar of its own for all its workloads.
func (c *Cluster) closed(namespace string) bool {
	for name, object := range c.objects {
		if name.Kind == "Sidecar" && name.Namespace == namespace && hop.SidecarIsWide(object) {
			return true
		}
	}
	return false
}

// typed are the kinds of exit sets: all that Istio's client knows would be a good part of the webhook.
var typed = sync.OnceValues(func() (*runtime.Scheme, error) {
	out := runtime.NewScheme()
	return out, networkingv1.AddToScheme(out)
})

func untyped(object hop.Object) (*unstructured.Unstructured, error) {
	if out, is := object.(*unstructured.Unstructured); is {
		return out, nil
	}
	known, err := typed()
	if err != nil {
		return nil, err
	}
	kinds, _, err := known.ObjectKinds(object)
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(object)
	if err != nil {
		return nil, err
	}
	out := &unstructured.Unstructured{}
	if err := json.Unmarshal(raw, &out.Object); err != nil {
		return nil, err
	}
	out.SetGroupVersionKind(kinds[0])
	return out, nil
}
