package versions

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/internal/render"
)

// keptBeside ends the files of what controllers keep beside what authors wrote.
const keptBeside = ".kept.yaml"

// kept returns what the controllers keep in a cluster.
func kept(t *testing.T, of *render.Cluster) (out []*unstructured.Unstructured) {
	t.Helper()
	objects, err := of.Objects()
	require.NoError(t, err)
	for _, object := range objects {
		if object.GetLabels()[hop.ManagedByLabel] == hop.Manager {
			object = plain(object)
			unstructured.RemoveNestedField(object.Object, "status")
			out = append(out, object)
		}
	}
	return out
}

// areKept holds that what a version kept is found by this one, which keeps something for the same: a host, an entry or a gateway, or what
// closes a namespace. What it makes otherwise takes the other's place, and what it has no use for it finds to delete.
func areKept(t *testing.T, before, now []*unstructured.Unstructured) {
	t.Helper()
	purposes := func(of []*unstructured.Unstructured) map[[4]string]bool {
		out := map[[4]string]bool{}
		for _, object := range of {
			assert.Equal(t, hop.Manager, object.GetLabels()[hop.ManagedByLabel], "%s %s", object.GetKind(), object.GetName())
			purpose := [4]string{object.GetNamespace(), object.GetAnnotations()[hop.HostAnnotation], object.GetAnnotations()[hop.EntryAnnotation], object.GetLabels()[hop.GatewayLabel]}
			if purpose == [4]string{object.GetNamespace()} {
				purpose[3] = object.GetName()
			}
			out[purpose] = true
		}
		return out
	}
	assert.Subset(t, purposes(now), purposes(before))
}
