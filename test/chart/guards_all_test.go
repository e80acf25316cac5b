package chart

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/apiserver"
)

const meshed = "apiVersion: v1\nkind: Namespace\nmetadata: {name: app, labels: {kubernetes.io/metadata.name: app, istio-injection: enabled}}"

// TestNoPodIsLeftOutByTheInjectorOfEveryNamespace: in a mesh that injects where no namespace asks for it, a pod by whose labels another
// injector would have to be asked has no sidecar, where there is none.
func TestNoPodIsLeftOutByTheInjectorOfEveryNamespace(t *testing.T) {
	t.Parallel()
	server := guarding(t, values{"guards": values{"pods": values{"namespaces": "All"}}})
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
			Object:    parsed(t, "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: app}\nspec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {"+row.labels+"}}, spec: {containers: [{name: app, image: app}]}}}"),
			Namespace: parsed(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: app, labels: {kubernetes.io/metadata.name: app"+row.namespace+"}}"),
		})
		if row.denied == "" {
			require.NoError(t, err, row)
		} else {
			require.ErrorContains(t, err, row.denied, row)
		}
	}
}
