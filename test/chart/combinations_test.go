package chart

import (
	"fmt"
	"slices"
	"testing"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"

	"github.com/egress-governor/egress-governor/internal/config"
	"github.com/egress-governor/egress-governor/test/controlplane"
)

// TestEveryCombinationIsAppliedAsItIsRendered: helm template gives the same twice, without a cluster; every object is of its kind to
// the letter and has a name of its own; and the webhook takes the configuration.
func TestEveryCombinationIsAppliedAsItIsRendered(t *testing.T) {
	t.Parallel()
	scheme := runtime.NewScheme()
	require.NoError(t, clientgoscheme.AddToScheme(scheme))
	for _, add := range []func(*runtime.Scheme) error{apiextensionsv1.AddToScheme, monitoringv1.AddToScheme, certmanagerv1.AddToScheme} {
		require.NoError(t, add(scheme))
	}
	strict := json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme, scheme, json.SerializerOptions{Strict: true})
	all := Combinations()
	assert.Less(t, len(all), 60)
	for _, row := range all {
		t.Run(fmt.Sprint(row), func(t *testing.T) {
			t.Parallel()
			objects, err := controlplane.RenderFor(row["cluster"], chart, Values(row))
			require.NoError(t, err)
			again, err := controlplane.RenderFor(row["cluster"], chart, Values(row))
			require.NoError(t, err)
			assert.Equal(t, objects, again)
			seen := map[string]bool{}
			configured := false
			for _, object := range objects {
				name := object.GroupVersionKind().GroupKind().String() + " " + object.GetNamespace() + "/" + object.GetName()
				assert.False(t, seen[name], "%s is there twice", name)
				seen[name] = true
				assert.LessOrEqual(t, len(object.GetName()), 63, name)
				raw, err := object.MarshalJSON()
				require.NoError(t, err)
				of, _, err := strict.Decode(raw, nil, nil)
				require.NoError(t, err, name)
				if held, is := of.(*corev1.ConfigMap); is && held.Data["config.yaml"] != "" {
					configured = true
					configuration, err := config.Parse([]byte(held.Data["config.yaml"]))
					require.NoError(t, err)
					_, err = configuration.Mesh()
					require.NoError(t, err)
				}
			}
			assert.True(t, configured)
		})
	}
}

// TestEachChoiceStandsBesideEachOther, but for what does not go together.
func TestEachChoiceStandsBesideEachOther(t *testing.T) {
	t.Parallel()
	all := Combinations()
	beside := func(a, x, b, y string) bool {
		return slices.ContainsFunc(all, func(row map[string]string) bool { return row[a] == x && row[b] == y })
	}
	assert.True(t, beside("certificates", "secret", "gateway", "own"))
	assert.True(t, beside("entries", "Leave", "gateway", "named"))
	assert.True(t, beside("entries", "Leave", "gateway", "own"), "where routes are left, too")
	for _, row := range all {
		assert.True(t, supported(row))
		assert.Len(t, row, len(axes))
	}
}
