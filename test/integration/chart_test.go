package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/test/chart"
	"github.com/egress-governor/egress-governor/test/controlplane"
)

const chartFolder = "../../charts/egress-governor"

// ofOperators are groups of kinds that operators define, who are not there; test/chart holds these to the operators' own types.
var ofOperators = []string{"monitoring.coreos.com", "cert-manager.io"}

// TestTheAPIServerTakesTheChart, as it is printed for whoever installs it without helm.
func TestTheAPIServerTakesTheChart(t *testing.T) {
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	options := controlplane.InTree(root, "chart")
	// The namespaces of gateways, which a dry run does not make.
	options.Bare, options.GatewayNamespaces = true, []string{"ways", "egress-governor-gateway"}
	of, err := controlplane.Start(context.WithoutCancel(t.Context()), options)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, of.Stop()) })
	t.Run("each combination", func(t *testing.T) { eachCombination(t, of) })
	t.Run("twice", func(t *testing.T) { appliedTwice(t, of) })
}

// eachCombination of values is taken, field by field, as a dry run.
func eachCombination(t *testing.T, of *controlplane.ControlPlane) {
	taken := map[string]bool{}
	for _, row := range chart.Combinations() {
		objects, err := controlplane.RenderFor(row["cluster"], chartFolder, chart.Values(row))
		require.NoError(t, err)
		for _, object := range objects {
			raw, err := json.Marshal(object.Object)
			require.NoError(t, err)
			if taken[string(raw)] || slices.Contains(ofOperators, object.GroupVersionKind().Group) {
				continue
			}
			taken[string(raw)] = true
			//nolint:staticcheck // the typed apply needs a generated configuration of each kind
			err = of.Client.Patch(t.Context(), object, client.Apply, client.FieldOwner("helm"), client.DryRunAll)
			require.NoError(t, err, "%s %s of %v", object.GetKind(), object.GetName(), row)
		}
	}
	assert.Greater(t, len(taken), 300)
}

// appliedTwice by kubectl, from the client's side and the server's, the second time nothing is written.
func appliedTwice(t *testing.T, of *controlplane.ControlPlane) {
	objects, err := controlplane.Render(chartFolder, chart.Values(map[string]string{
		"gateway": "own, resolving", "closing": "closed", "replicas": "scaled", "doors": "closed", "bundles": "some", "tracing": "by TLS",
	}))
	require.NoError(t, err)
	var text strings.Builder
	for _, object := range objects {
		raw, err := json.Marshal(object.Object)
		require.NoError(t, err)
		fmt.Fprintf(&text, "---\n%s\n", raw)
	}
	file := filepath.Join(t.TempDir(), "release.yaml")
	require.NoError(t, os.WriteFile(file, []byte(text.String()), 0o600))
	stored := func(object *unstructured.Unstructured) *unstructured.Unstructured {
		out := &unstructured.Unstructured{}
		out.SetGroupVersionKind(object.GroupVersionKind())
		require.NoError(t, of.Client.Get(t.Context(), client.ObjectKeyFromObject(object), out), object.GetName())
		return out
	}
	apply := func(says string, flags ...string) (versions []string) {
		_, said := kubectlOf(t, of.Kubeconfig, file, flags...)
		require.Regexp(t, says, said)
		require.Equal(t, len(objects), strings.Count(said, "\n"), said)
		for _, object := range objects {
			if object.GetKind() == "CustomResourceDefinition" {
				// Its status is written once more.
				eventually(t, func() bool { return controlplane.ConditionOf(stored(object), "Established", "status") == "True" }, "established")
			}
			versions = append(versions, object.GetKind()+" "+object.GetName()+" "+stored(object).GetResourceVersion())
		}
		return versions
	}
	assert.Equal(t, apply("^(.* (created|configured)\n)+$"), apply("^(.* (unchanged|configured)\n)+$"))
	// What the API server put into a binding is the first applier's.
	assert.Equal(t, apply("^(.* serverside-applied\n)+$", "--server-side", "--force-conflicts"), apply("^(.* serverside-applied\n)+$", "--server-side"))
}
