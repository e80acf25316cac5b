package registry

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
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

// pods has the labels of pods in the gateways' namespaces.
type pods map[types.NamespacedName]map[string]string

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
	for _, binding := range r.bindings {
		if !binding.Kept && binding.Names(host) {
			out = append(out, binding)
		}
	}
	slices.SortFunc(out, func(a, b *egress.Binding) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return out
}

// Problems returns why an egress gateway cannot carry calls: by its Service, and by what other Gateway objects take from
// it on its own pods.
func (r *Registry) Problems(gw egress.Gateway) []egress.Finding {
	r.mu.RLock()
	out, known := r.problems.of[gw.Name]
	moment := r.problems.moment
	r.mu.RUnlock()
	if known {
		return out
	}
	out = append(gw.Problems(r.Service(gw.Service)), r.Foreign(gw)...)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.problems.moment == moment {
		r.problems.of[gw.Name] = out
	}
	return out
}

// problems are those of egress gateways, by name, for whoever asked since something around some gateway changed.
type problems struct {
	of map[string][]egress.Finding
	// moment counts these changes: what was found while there was one is not kept.
	moment int
}

// Foreign returns what Gateway objects of others take from an egress gateway.
func (r *Registry) Foreign(gw egress.Gateway) (out []egress.Finding) {
	for _, binding := range r.foreign(gw) {
		for _, taken := range hop.CheckBinding(binding, gw, r.Service(gw.Service)) {
			out = append(out, egress.Finding{
				Code:    "foreign-gateway",
				Message: fmt.Sprintf("Gateway %s/%s, %s: %s", binding.Namespace, binding.Name, taken.Field, taken.Message),
				Fix:     "in that Gateway, " + taken.Fix,
			})
		}
	}
	return out
}

// foreign returns the Gateway objects on the pods of an egress gateway that are not our own.
func (r *Registry) foreign(gw egress.Gateway) (out []*egress.Binding) {
	r.mu.RLock()
	names := slices.SortedFunc(maps.Keys(r.bindings), func(a, b types.NamespacedName) int { return cmp.Compare(a.String(), b.String()) })
	r.mu.RUnlock()
	for _, name := range names {
		binding := r.Binding(name.Namespace, name.Name)
		if binding == nil || binding.Kept {
			continue
		}
		if slices.ContainsFunc(r.mesh.Opened(binding, r), func(opened egress.Gateway) bool { return opened.Name == gw.Name }) {
			out = append(out, binding)
		}
	}
	return out
}

// around tells of every egress gateway whose problems a change around it made others than before.
func (r *Registry) around(change func()) {
	for _, told := range r.changed(change) {
		r.tell(told)
	}
}

// changed makes a change around gateways, and returns what is to be told of it. One is made after the other, so that each is held against
// what was before it alone.
func (r *Registry) changed(change func()) (out []Change) {
	r.changing.Lock()
	defer r.changing.Unlock()
	before := map[string][]egress.Finding{}
	for _, gw := range r.mesh.Gateways {
		before[gw.Name] = r.Problems(gw)
	}
	r.mu.Lock()
	change()
	clear(r.problems.of)
	r.problems.moment++
	r.mu.Unlock()
	for _, gw := range r.mesh.Gateways {
		if !slices.Equal(before[gw.Name], r.Problems(gw)) {
			r.mu.RLock()
			entries := r.sealedTo(gw)
			r.mu.RUnlock()
			out = append(out, Change{Entries: entries})
		}
	}
	return out
}

// Pods implements egress.View.
func (r *Registry) Pods(namespace string) (out []map[string]string) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	seen := map[string]bool{}
	for name, set := range r.pods {
		if key := labels.Set(set).String(); name.Namespace == namespace && !seen[key] {
			seen[key] = true
			out = append(out, set)
		}
	}
	return out
}

// PutBinding takes in a Gateway object.
func (r *Registry) PutBinding(object *unstructured.Unstructured) { r.putBinding(r.slimBinding(object)) }

// DeleteBinding forgets a Gateway object.
func (r *Registry) DeleteBinding(namespace, name string) {
	if r.Binding(namespace, name) != nil {
		r.around(func() { delete(r.bindings, types.NamespacedName{Namespace: namespace, Name: name}) })
	}
}

// PutPod takes in the labels of a pod in the namespace of an egress gateway.
func (r *Registry) PutPod(namespace, name string, set map[string]string) {
	at := types.NamespacedName{Namespace: namespace, Name: name}
	r.mu.RLock()
	last, known := r.pods[at]
	r.mu.RUnlock()
	if !known || !maps.Equal(last, set) {
		r.around(func() { r.pods[at] = set })
	}
}

// DeletePod forgets a pod.
func (r *Registry) DeletePod(namespace, name string) {
	r.around(func() { delete(r.pods, types.NamespacedName{Namespace: namespace, Name: name}) })
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
	if stored, ok := kept.(*storedBinding); ok && stored.binding != nil {
		r.around(func() {
			r.bindings[types.NamespacedName{Namespace: stored.Namespace, Name: stored.Name}] = stored.binding
		})
	}
}

func slimPod(obj any) any {
	pod, ok := obj.(*corev1.Pod)
	if !ok {
		return obj
	}
	out := &corev1.Pod{ObjectMeta: identity(pod)}
	out.Labels = pod.Labels
	return out
}

func (r *Registry) putPod(kept any) {
	if pod, ok := kept.(*corev1.Pod); ok {
		r.PutPod(pod.Namespace, pod.Name, pod.Labels)
	}
}
