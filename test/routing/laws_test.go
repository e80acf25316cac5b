package routing

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"istio.io/istio/pilot/pkg/config/kube/crd"
	"istio.io/istio/pkg/config/schema/collections"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"pgregory.net/rapid"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/test/draw"
)

// TestIstioAcceptsWhatItAcceptedBefore: whatever Istio's validation accepts, it accepts sealed or injected.
func TestIstioAcceptsWhatItAcceptedBefore(t *testing.T) {
	t.Run("Plain", func(t *testing.T) { acceptedBefore(t, egresstest.Mesh(), egresstest.NewCluster()) })
	t.Run("MutualTLS", func(t *testing.T) { acceptedBefore(t, egresstest.MutualTLS(), egresstest.NewMutualCluster()) })
}

func acceptedBefore(t *testing.T, mesh *egress.Mesh, cluster *egresstest.Cluster) {
	t.Helper()
	t.Run("sealed", func(t *testing.T) {
		changed := 0
		rapid.Check(t, func(t *rapid.T) {
			x := draw.Entry(t)
			if accepted(x) != nil {
				return
			}
			sealed, err := hop.Seal(x, mesh.Gateways[0], mesh)
			if err != nil {
				return
			}
			require.NoError(t, accepted(sealed))
			if _, is := hop.SealedTo(sealed, mesh); is {
				changed++
			}
		})
		require.NotZero(t, changed)
	})
	t.Run("injected", func(t *testing.T) {
		changed := 0
		rapid.Check(t, func(t *rapid.T) {
			x := draw.VirtualService(t)
			if accepted(x) != nil {
				return
			}
			injected, err := hop.Inject(x, mesh.Gateways[0], mesh, cluster)
			require.NoError(t, err)
			require.NoError(t, accepted(injected))
			if injected.GetAnnotations()[hop.IntentAnnotation] != "" {
				changed++
			}
		})
		require.NotZero(t, changed)
	})
}

// accepted runs Istio's own validation.
func accepted(object *unstructured.Unstructured) error {
	raw, err := yaml.Marshal(object.Object)
	if err != nil {
		return err
	}
	configs, _, err := crd.ParseInputs(strings.TrimSpace(string(raw)))
	if err != nil {
		return err
	}
	for _, config := range configs {
		schema, _ := collections.All.FindByGroupVersionAliasesKind(config.GroupVersionKind)
		if _, err := schema.ValidateConfig(config); err != nil {
			return err
		}
	}
	return nil
}
