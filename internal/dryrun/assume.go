package dryrun

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/manifest"
	"github.com/egress-governor/egress-governor/internal/review"
)

func isPolicy(object manifest.Object) bool {
	return object.GetKind() == "EgressPolicy" && object.GroupVersionKind().Group == v1alpha1.GroupVersion.Group
}

func isNamespace(object manifest.Object) bool {
	return object.GetKind() == "Namespace" && object.GroupVersionKind().Group == ""
}

// placed returns an object as the API server has it before anybody is asked: in a namespace, and a namespace with its label.
func (s *Session) placed(object manifest.Object) manifest.Object {
	_, governed := review.ResourceOf(object.GetKind())
	namespaced := governed || slices.Contains([]string{"ConfigMap", "Service", "ServiceAccount", "Pod"}, object.GetKind())
	switch {
	case isNamespace(object):
		object.Unstructured = object.DeepCopy()
		labels := object.GetLabels()
		if labels == nil {
			labels = map[string]string{}
		}
		labels[corev1.LabelMetadataName] = object.GetName()
		object.SetLabels(labels)
	case namespaced && object.GetNamespace() == "":
		object.Unstructured = object.DeepCopy()
		object.SetNamespace(s.options.Namespace)
	}
	return object
}

// assume stores what a cluster has in which objects are applied, where nothing was said of it: their namespaces, each with its
// default service account, and the egress gateways' Services and service accounts.
func (s *Session) assume(objects ...manifest.Object) error {
	accounts := map[string]map[string]bool{}
	add := func(namespace, account string) {
		if accounts[namespace] == nil {
			accounts[namespace] = map[string]bool{"default": true}
		}
		accounts[namespace][account] = true
	}
	for _, object := range objects {
		if object = s.placed(object); object.GetNamespace() != "" {
			add(object.GetNamespace(), "default")
		} else if isNamespace(object) {
			add(object.GetName(), "default")
		}
	}
	var assumed []*unstructured.Unstructured
	for _, gw := range s.mesh.Gateways {
		add(gw.Namespace(), gw.ServiceAccount)
		assumed = append(assumed, service(gw))
	}
	for _, namespace := range slices.Sorted(maps.Keys(accounts)) {
		assumed = append(assumed, core("Namespace", "", namespace))
		for _, account := range slices.Sorted(maps.Keys(accounts[namespace])) {
			assumed = append(assumed, core("ServiceAccount", namespace, account))
		}
	}
	for _, object := range assumed {
		if s.cluster.Get(object) != nil {
			continue
		}
		if object.GetKind() == "Namespace" && len(s.mesh.GatewaysIn(object.GetName())) == 0 {
			s.assumed = append(s.assumed, object.GetName())
		}
		if err := s.Store(manifest.Object{Unstructured: object}); err != nil {
			return err
		}
	}
	return nil
}

func service(gw egress.Gateway) *unstructured.Unstructured {
	selector := map[string]any{}
	for name, value := range gw.Selector {
		selector[name] = value
	}
	var ports []any
	add := func(name string, number uint32) {
		if number != 0 {
			ports = append(ports, map[string]any{"name": name, "port": int64(number), "targetPort": int64(number), "protocol": "TCP"})
		}
	}
	add("http2", gw.HTTPPort)
	add("https", gw.TLSPort)
	out := core("Service", gw.Namespace(), gw.ServiceName())
	out.Object["spec"] = map[string]any{"selector": selector, "ports": ports}
	return out
}

func core(kind, namespace, name string) *unstructured.Unstructured {
	out := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": kind}}
	out.SetNamespace(namespace)
	out.SetName(name)
	return out
}
