package integration

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/test/controlplane"
)

// TestShapes stores each shape of testdata/shapes as an author would, and leaves what the cluster then holds in
// .run/shapes: those objects, not copies, are what test/routing proves. It is not parallel, so that no other test's
// objects are among them.
func TestShapes(t *testing.T) {
	folder, err := filepath.Abs("../../.run/shapes")
	require.NoError(t, err)
	require.NoError(t, os.RemoveAll(folder))
	require.NoError(t, os.MkdirAll(folder, 0o755))
	for name, labels := range map[string]map[string]string{"app-a": nil, "app-b": nil, "cards": {"egress": "pci"}} {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
		require.NoError(t, shared.Client.Create(t.Context(), namespace))
	}
	files, err := filepath.Glob("testdata/shapes/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			require.NoError(t, err)
			objects, err := controlplane.Decode(bytes.NewReader(raw))
			require.NoError(t, err)
			rules := 0
			for _, object := range objects {
				require.NoError(t, shared.Client.Create(t.Context(), object))
				t.Cleanup(func() { require.NoError(t, shared.Client.Delete(context.WithoutCancel(t.Context()), object)) })
				switch object.GetKind() {
				case "ServiceEntry":
					eventually(t, func() bool { return ready(get(t, object), "True") }, object.GetName())
				case "DestinationRule":
					rules++
				}
			}
			if rules > 0 && !strings.HasPrefix(filepath.Base(file), "guide-") {
				eventually(t, func() bool {
					return len(stored(t, "DestinationRule", controlplane.GatewayNamespace)) == 1 && hop.RuleSealed(&stored(t, "DestinationRule", "app-a")[0])
				}, "the rule of the exit, and the client's without what the exit has")
			}
			require.NoError(t, os.WriteFile(filepath.Join(folder, filepath.Base(file)), dump(t), 0o600))
		})
		eventually(t, func() bool {
			return len(stored(t, "VirtualService", controlplane.GatewayNamespace))+len(stored(t, "ServiceEntry", controlplane.GatewayNamespace))+
				len(stored(t, "DestinationRule", controlplane.GatewayNamespace)) == 0
		}, "exits go")
		if t.Failed() {
			return
		}
	}
}

func stored(t *testing.T, kind, namespace string) []unstructured.Unstructured {
	t.Helper()
	version := schema.GroupVersion{Group: "networking.istio.io", Version: "v1"}
	if kind == "Service" {
		version = corev1.SchemeGroupVersion
	}
	var list unstructured.UnstructuredList
	list.SetGroupVersionKind(version.WithKind(kind + "List"))
	require.NoError(t, shared.Client.List(t.Context(), &list, client.InNamespace(namespace)))
	return list.Items
}

func dump(t *testing.T) []byte {
	t.Helper()
	var out bytes.Buffer
	for _, kind := range []string{"Service", "Gateway", "ServiceEntry", "VirtualService", "DestinationRule"} {
		for _, object := range stored(t, kind, "") {
			unstructured.RemoveNestedField(object.Object, "metadata", "managedFields")
			raw, err := yaml.Marshal(object.Object)
			require.NoError(t, err)
			fmt.Fprintf(&out, "---\n%s", raw)
		}
	}
	require.Contains(t, out.String(), hop.Manager)
	return out.Bytes()
}
