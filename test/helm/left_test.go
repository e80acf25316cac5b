package helm

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"

	"github.com/egress-governor/egress-governor/internal/hop"
)

// itsOwn are kinds that the API server makes of others, or that come with time.
var itsOwn = []string{"APIService", "Event", "IPAddress"}

// all is what the cluster holds, "Kind namespace/name".
func (r *release) all(t *testing.T) []string {
	t.Helper()
	return slices.Sorted(maps.Keys(r.objects(t)))
}

// exits are the specs of exit sets, and of what stands beside entries, by the label that the controller gives.
func (r *release) exits(t *testing.T) map[string]any {
	t.Helper()
	out := map[string]any{}
	for name, object := range r.objects(t) {
		if object.GetLabels()[hop.ManagedByLabel] == hop.Manager && object.GetKind() != "EgressPolicy" {
			out[name] = object.Object["spec"]
		}
	}
	return out
}

func (r *release) objects(t *testing.T) map[string]unstructured.Unstructured {
	t.Helper()
	kinds, err := discovery.NewDiscoveryClientForConfig(r.Config)
	require.NoError(t, err)
	lists, err := kinds.ServerPreferredResources()
	require.NoError(t, err)
	out := map[string]unstructured.Unstructured{}
	for _, list := range lists {
		for _, kind := range list.APIResources {
			if strings.Contains(kind.Name, "/") || !slices.Contains(kind.Verbs, "list") || slices.Contains(itsOwn, kind.Kind) {
				continue
			}
			of := &unstructured.UnstructuredList{}
			of.SetGroupVersionKind(schema.FromAPIVersionAndKind(list.GroupVersion, kind.Kind+"List"))
			require.NoError(t, r.Client.List(t.Context(), of), kind.Kind)
			for _, object := range of.Items {
				out[kind.Kind+" "+object.GetNamespace()+"/"+object.GetName()] = object
			}
		}
	}
	return out
}

// of returns those of some kinds.
func of(names []string, kinds ...string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		kind, _, _ := strings.Cut(name, " ")
		return !slices.Contains(kinds, kind)
	})
}
