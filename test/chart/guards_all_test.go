package chart

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/apiserver"
	"github.com/egress-governor/egress-governor/test/controlplane"
)

// TestNoPodIsLeftOutByTheInjectorOfEveryNamespace: in a mesh that injects where no namespace asks for it, a pod by whose labels another
// injector would have to be asked has no sidecar, where there is none.
func TestNoPodIsLeftOutByTheInjectorOfEveryNamespace(t *testing.T) {
	t.Parallel()
	objects, err := controlplane.Render(filepath.Join("..", "..", "charts", "egress-governor"),
		map[string]any{"guards": map[string]any{"pods": map[string]any{"namespaces": "All"}}})
	require.NoError(t, err)
	server := apiserver.New()
	for _, object := range objects {
		if apiserver.Guards(object) {
			require.NoError(t, server.Put(object))
		}
	}
	read := func(text string) *unstructured.Unstructured {
		out := &unstructured.Unstructured{}
		require.NoError(t, yaml.Unmarshal([]byte(text), &out.Object))
		return out
	}
	const says = "metadata.labels: by istio.io/rev, or by sidecar.istio.io/inject with another value than true, no injector may be asked"
	for _, row := range []struct{ namespace, labels, denied string }{
		{"", "istio.io/rev: no-such", says},
		{"", `sidecar.istio.io/inject: "yes"`, says},
		{"", `sidecar.istio.io/inject: ""`, says},
		{"", `istio.io/rev: no-such, sidecar.istio.io/inject: "true"`, says},
		{"", `sidecar.istio.io/inject: "false"`, "metadata.labels[sidecar.istio.io/inject]: the pods have no sidecar"},
		{"", `sidecar.istio.io/inject: "true"`, ""},
		{"", "app: a", ""},
		{", istio-injection: enabled", "istio.io/rev: no-such", ""},
		{", istio.io/rev: stable", `sidecar.istio.io/inject: "yes"`, ""},
	} {
		_, err := server.Clone().Guard(t.Context(), apiserver.Request{
			Object:    read("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: app}\nspec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {" + row.labels + "}}, spec: {containers: [{name: app, image: app}]}}}"),
			Namespace: read("apiVersion: v1\nkind: Namespace\nmetadata: {name: app, labels: {kubernetes.io/metadata.name: app" + row.namespace + "}}"),
		})
		if row.denied == "" {
			require.NoError(t, err, row)
		} else {
			require.ErrorContains(t, err, row.denied, row)
		}
	}
}
