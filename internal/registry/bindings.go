package registry

import (
	"cmp"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// storedBinding is what is kept of a stored Gateway object.
type storedBinding struct {
	Identity
	binding *egress.Binding
}

// GetObjectKind implements runtime.Object.
func (*storedBinding) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// DeepCopyObject implements runtime.Object. What is shared is never changed.
func (s *storedBinding) DeepCopyObject() runtime.Object {
	out := *s
	return &out
}

// Binding implements egress.View.
func (r *Registry) Binding(namespace, name string) *egress.Binding {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.bindings[types.NamespacedName{Namespace: namespace, Name: name}]
}

// Serving implements egress.View.
func (r *Registry) Serving(host string) (out []*egress.Binding) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, name := range slices.SortedFunc(maps.Keys(r.serving.routes[host]), compareNames) {
		out = append(out, r.bindings[name])
	}
	return out
}

func compareNames(a, b types.NamespacedName) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

// PutBinding takes in a Gateway object.
func (r *Registry) PutBinding(object *unstructured.Unstructured) { r.putBinding(r.slimBinding(object)) }

// DeleteBinding forgets a Gateway object.
func (r *Registry) DeleteBinding(namespace, name string) {
	r.swapBinding(types.NamespacedName{Namespace: namespace, Name: name}, nil)
}

func (r *Registry) slimBinding(obj any) any {
	object, ok := obj.(*unstructured.Unstructured)
	if !ok {
		return obj
	}
	if r.ours(object) {
		// Of one exit: nobody but its own routes can bind to it.
		return &storedBinding{Identity: identify(object)}
	}
	binding := egress.ReadBinding(object)
	binding.Kept = object.GetLabels()[hop.ManagedByLabel] == hop.Manager && len(r.mesh.GatewaysIn(object.GetNamespace())) > 0
	return &storedBinding{Identity: identify(object), binding: binding}
}

func (r *Registry) putBinding(kept any) {
	if stored, ok := kept.(*storedBinding); ok {
		r.swapBinding(types.NamespacedName{Namespace: stored.Namespace, Name: stored.Name}, stored.binding)
	}
}

// swapBinding puts a Gateway object in the place of the one of its name; nil is none.
func (r *Registry) swapBinding(name types.NamespacedName, next *egress.Binding) {
	var hosts []string
	if next != nil && !next.Kept {
		hosts = next.Hosts()
	}
	r.around(func() {
		if delete(r.bindings, name); next != nil {
			r.bindings[name] = next
		}
		r.serving.swap(name, hosts)
		for _, gw := range r.mesh.Gateways {
			r.take(gw, name)
		}
	})
}
