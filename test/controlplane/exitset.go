package controlplane

import (
	"context"

	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/internal/hop"
)

// ExitSet returns the stored exit set of a host in a namespace of egress gateways, its ServiceEntry first.
func ExitSet(ctx context.Context, c client.Reader, namespace, host string) ([]*unstructured.Unstructured, error) {
	var out []*unstructured.Unstructured
	v1 := networkingv1.SchemeGroupVersion
	for _, kind := range []schema.GroupVersionKind{v1.WithKind("ServiceEntry"), v1.WithKind("DestinationRule"), hop.EnvoyFilter, v1.WithKind("VirtualService")} {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
		ours := client.MatchingLabels{hop.ManagedByLabel: hop.Manager}
		if err := c.List(ctx, list, client.InNamespace(namespace), ours); err != nil {
			return nil, err
		}
		for i := range list.Items {
			if list.Items[i].GetAnnotations()[hop.HostAnnotation] == host {
				out = append(out, &list.Items[i])
			}
		}
	}
	return out, nil
}
