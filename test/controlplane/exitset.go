package controlplane

import (
	"context"

	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/internal/hop"
)

// ExitSet returns the stored exit set of a host in a namespace of egress gateways, its ServiceEntry first.
func ExitSet(ctx context.Context, c client.Reader, namespace, host string) ([]*unstructured.Unstructured, error) {
	var out []*unstructured.Unstructured
	for _, kind := range []string{"ServiceEntry", "DestinationRule", "VirtualService"} {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(networkingv1.SchemeGroupVersion.WithKind(kind + "List"))
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
