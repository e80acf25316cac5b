package registry

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// storedRule is what is kept of a stored DestinationRule.
type storedRule struct {
	metav1.ObjectMeta
	host string
}

// GetObjectKind implements runtime.Object.
func (*storedRule) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// DeepCopyObject implements runtime.Object.
func (s *storedRule) DeepCopyObject() runtime.Object {
	out := *s
	return &out
}

// ruleKey is a host that DestinationRules of a namespace set a traffic policy for.
type ruleKey struct{ namespace, host string }

// HasTrafficPolicy implements egress.View.
func (r *Registry) HasTrafficPolicy(namespace, host string) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.ruled[ruleKey{namespace, host}] > 0
}

// RuledHost returns the host, as written, that a DestinationRule sets a traffic policy for, empty for none.
func RuledHost(rule *unstructured.Unstructured) string {
	host, _, _ := unstructured.NestedString(rule.Object, "spec", "host")
	if _, policy, _ := unstructured.NestedMap(rule.Object, "spec", "trafficPolicy"); !policy {
		return ""
	}
	return host
}

// PutRule takes in a DestinationRule by its RuledHost.
func (r *Registry) PutRule(namespace, name, host string) {
	if host != "" {
		host = r.mesh.Qualify(host, namespace)
	}
	r.swapRule(types.NamespacedName{Namespace: namespace, Name: name}, host)
}

// DeleteRule forgets a DestinationRule.
func (r *Registry) DeleteRule(namespace, name string) {
	r.swapRule(types.NamespacedName{Namespace: namespace, Name: name}, "")
}

func (r *Registry) swapRule(name types.NamespacedName, next string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if last := r.rules[name]; last != "" {
		key := ruleKey{name.Namespace, last}
		if r.ruled[key]--; r.ruled[key] == 0 {
			delete(r.ruled, key)
		}
		delete(r.rules, name)
	}
	if next != "" {
		r.rules[name] = next
		r.ruled[ruleKey{name.Namespace, next}]++
	}
}
