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
	switch object.GetKind() {
	case "Namespace":
		r.PutNamespace(object.GetName(), object.GetLabels())
	case "Service":
		service := &corev1.Service{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, service); err != nil {
			return fmt.Errorf("Service %s/%s: %w", object.GetNamespace(), object.GetName(), err)
		}
		r.PutService(service)
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
