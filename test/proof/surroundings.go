package proof

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// surroundings are what the manifests of a case take for granted: namespaces, service accounts, and the gateways' Services.
func (c *Case) surroundings(mesh *egress.Mesh, objects []*unstructured.Unstructured) (out []*unstructured.Unstructured) {
	accounts := map[string]map[string]bool{}
	in := func(namespace, account string) {
		if accounts[namespace] == nil {
			accounts[namespace] = map[string]bool{}
		}
		accounts[namespace][account] = true
	}
	declared := map[string]bool{}
	for _, object := range objects {
		if object.GetKind() == "Namespace" {
			declared[object.GetName()] = true
			in(object.GetName(), "default")
		} else if object.GetNamespace() != "" {
			in(object.GetNamespace(), "default")
		}
	}
	for _, call := range c.Calls {
		in(call.Caller())
	}
	for _, gw := range mesh.Gateways {
		in(gw.Namespace(), gw.ServiceAccount)
		out = append(out, service(gw))
	}
	for _, namespace := range slices.Sorted(maps.Keys(accounts)) {
		if !declared[namespace] {
			out = append(out, plain("Namespace", "", namespace, nil))
		}
		for _, account := range slices.Sorted(maps.Keys(accounts[namespace])) {
			out = append(out, plain("ServiceAccount", namespace, account, nil))
		}
	}
	for _, object := range out {
		if object.GetKind() == "Namespace" {
			label(object)
		}
	}
	for _, object := range objects {
		if object.GetKind() == "Namespace" {
			label(object)
		}
	}
	return out
}

// label gives a namespace the label that every one has.
func label(namespace *unstructured.Unstructured) {
	labels := namespace.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	labels["kubernetes.io/metadata.name"] = namespace.GetName()
	namespace.SetLabels(labels)
}

func service(gw egress.Gateway) *unstructured.Unstructured {
	selector := map[string]any{}
	for name, value := range gw.Selector {
		selector[name] = value
	}
	port := func(name string, number uint32) any {
		return map[string]any{"name": name, "port": int64(number), "targetPort": int64(number), "protocol": "TCP"}
	}
	spec := map[string]any{"clusterIP": "10.0.0.80", "selector": selector, "ports": []any{port("http2", gw.HTTPPort), port("https", gw.TLSPort)}}
	return plain("Service", gw.Namespace(), gw.ServiceName(), spec)
}

func plain(kind, namespace, name string, spec map[string]any) *unstructured.Unstructured {
	out := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": kind}}
	if spec != nil {
		out.Object["spec"] = spec
	}
	out.SetNamespace(namespace)
	out.SetName(name)
	return out
}
