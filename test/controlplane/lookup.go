package controlplane

import (
	"slices"

	"helm.sh/helm/v4/pkg/chart"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/engine"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/fake"
)

// RenderOver is Render as helm install does it in a cluster that holds objects: templates may look these up. Whoever renders without a
// cluster, as helm template does, finds none.
func RenderOver(folder string, values map[string]any, held []*unstructured.Unstructured) ([]*unstructured.Unstructured, error) {
	all, err := renderBy(func(of chart.Charter, values common.Values) (map[string]string, error) {
		return engine.RenderWithClientProvider(of, values, cluster(held))
	}, oldest, folder, values)
	return slices.DeleteFunc(all, isHook), err
}

// cluster is what templates look up.
type cluster []*unstructured.Unstructured

// GetClientFor implements engine.ClientProvider.
func (c cluster) GetClientFor(apiVersion, kind string) (of dynamic.NamespaceableResourceInterface, namespaced bool, err error) {
	var objects []runtime.Object
	for _, object := range c {
		if object.GetAPIVersion() == apiVersion && object.GetKind() == kind {
			objects = append(objects, object)
			namespaced = object.GetNamespace() != ""
		}
	}
	resource, _ := meta.UnsafeGuessKindToResource(schema.FromAPIVersionAndKind(apiVersion, kind))
	lists := map[schema.GroupVersionResource]string{resource: kind + "List"}
	return fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), lists, objects...).Resource(resource), namespaced, nil
}
