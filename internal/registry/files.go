package registry

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// Put takes in an object as it is stored, whatever its kind: for those who have a cluster in files. A kind that says
// nothing about hosts is left out. The error is that of an object that is not of its kind.
func (r *Registry) Put(object *unstructured.Unstructured) error {
	switch kindOf(object) {
	case "Namespace":
		r.PutNamespace(object.GetName(), object.GetLabels())
	case "Service":
		service := &corev1.Service{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, service); err != nil {
			return fmt.Errorf("Service %s/%s: %w", object.GetNamespace(), object.GetName(), err)
		}
		r.PutService(service)
	case "Pod":
		if len(r.mesh.GatewaysIn(object.GetNamespace())) > 0 {
			r.PutPod(object.GetNamespace(), object.GetName(), object.GetLabels())
		}
	case "ServiceAccount":
		r.PutAccount(object.GetNamespace(), object.GetName())
	case "ServiceEntry":
		r.PutEntry(r.Read(object))
	case "VirtualService":
		r.PutRoutes(object)
	case "Gateway":
		r.PutBinding(object)
	case "DestinationRule":
		r.PutRule(r.ReadRule(object).Rule)
	}
	return nil
}

// Remove forgets an object that Put took in.
func (r *Registry) Remove(object *unstructured.Unstructured) {
	namespace, name := object.GetNamespace(), object.GetName()
	switch kindOf(object) {
	case "Namespace":
		r.DeleteNamespace(name)
	case "Service":
		r.DeleteService(namespace, name)
	case "Pod":
		r.DeletePod(namespace, name)
	case "ServiceAccount":
		r.DeleteAccount(namespace, name)
	case "ServiceEntry":
		r.DeleteEntry(namespace, name)
	case "VirtualService":
		r.DeleteRoutes(namespace, name)
	case "Gateway":
		r.DeleteBinding(namespace, name)
	case "DestinationRule":
		r.DeleteRule(namespace, name)
	}
}

// kindOf returns the kind of an object, empty for one of a group of which nothing is taken in: others have kinds of the same
// names.
func kindOf(object *unstructured.Unstructured) string {
	if group := object.GroupVersionKind().Group; group != "" && group != "networking.istio.io" {
		return ""
	}
	return object.GetKind()
}
