package registry

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// pods are those of the gateways' namespaces, by their labels: of one gateway all have the same, mostly.
type pods struct {
	// of has the labels of each pod, never nil.
	of map[types.NamespacedName]map[string]string
	// alike are the pods of a namespace with the same labels.
	alike sets[alike, types.NamespacedName]
	// sets are the labels of a namespace's pods, each set of them once. A slice that was given out is never changed.
	sets map[string][]map[string]string
}

type alike struct{ namespace, labels string }

func newPods() pods {
	return pods{map[types.NamespacedName]map[string]string{}, sets[alike, types.NamespacedName]{}, map[string][]map[string]string{}}
}

// swap puts the labels of a pod in the place of those that it had, nil for no pod, and returns those that no other pod of its namespace
// had, and those that none has any more; nil for none.
func (p pods) swap(pod types.NamespacedName, next map[string]string) (came, went map[string]string) {
	last := p.of[pod]
	if last != nil && next != nil && maps.Equal(last, next) {
		return nil, nil
	}
	if last != nil {
		key := alike{pod.Namespace, labels.Set(last).String()}
		if p.alike.remove(key, pod); p.alike[key] == nil {
			went = last
		}
		delete(p.of, pod)
	}
	if next != nil {
		key := alike{pod.Namespace, labels.Set(next).String()}
		if p.alike[key] == nil {
			came = next
		}
		p.alike.add(key, pod)
		p.of[pod] = next
	}
	list := p.sets[pod.Namespace]
	if went != nil {
		list = slices.DeleteFunc(slices.Clone(list), func(set map[string]string) bool { return maps.Equal(set, went) })
	}
	if came != nil {
		list = append(list, came)
	}
	if p.sets[pod.Namespace] = list; len(list) == 0 {
		delete(p.sets, pod.Namespace)
	}
	return came, went
}

// Pods implements egress.View.
func (r *Registry) Pods(namespace string) []map[string]string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.pods.sets[namespace]
}

// PutPod takes in the labels of a pod in the namespace of an egress gateway.
func (r *Registry) PutPod(namespace, name string, set map[string]string) {
	if set == nil {
		set = map[string]string{}
	}
	r.swapPod(types.NamespacedName{Namespace: namespace, Name: name}, set)
}

// DeletePod forgets a pod.
func (r *Registry) DeletePod(namespace, name string) {
	r.swapPod(types.NamespacedName{Namespace: namespace, Name: name}, nil)
}

func (r *Registry) swapPod(pod types.NamespacedName, next map[string]string) {
	r.around(func() {
		came, went := r.pods.swap(pod, next)
		for _, gw := range r.mesh.GatewaysIn(pod.Namespace) {
			if went != nil && egress.Selects(gw.Selector, went) {
				r.takeAll(gw)
			} else if came != nil && egress.Selects(gw.Selector, came) {
				r.takeOn(gw, came)
			}
		}
	})
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
