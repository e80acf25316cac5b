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
	for name, labels := range map[string]map[string]string{"app-a": nil, "app-b": nil, "cards": {"egress": "pci"}, "keys": vaultClients, "keys-b": vaultClients, "keys-c": vaultClients} {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
		require.NoError(t, shared.Client.Create(t.Context(), namespace))
		for _, account := range []string{"default", "batch"} {
			require.NoError(t, shared.Client.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: named(name, account)}))
		}
	}
	files, err := filepath.Glob("testdata/shapes/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		shape := strings.TrimSuffix(filepath.Base(file), ".yaml")
		raw, err := os.ReadFile(file)
		require.NoError(t, err)
		t.Run(shape, func(t *testing.T) { store(t, string(raw), filepath.Join(folder, shape+".yaml")) })
		if also := !strings.HasPrefix(shape, "vault-") && !strings.HasPrefix(shape, "two-gateways") && !strings.HasPrefix(shape, "guide-hop"); also && !t.Failed() {
			t.Run(shape+" by mutual TLS", func(t *testing.T) { store(t, toVault.Replace(string(raw)), filepath.Join(folder, shape+"@vault.yaml")) })
		}
		if t.Failed() {
			return
		}
	}
}

// toVault moves a shape to namespaces that leave by mutual TLS.
var toVault = strings.NewReplacer("app-a", "keys", "app-b", "keys-b", "istio-egressgateway.istio-system", vaultService+"."+vaultNamespace, "istio-system", vaultNamespace)

// store stores the objects of a shape and leaves what the cluster then holds in a file.
func store(t *testing.T, manifests, file string) {
	t.Cleanup(func() {
		eventually(t, func() bool {
			left := len(stored(t, "DestinationRule", ""))
			for _, namespace := range []string{controlplane.GatewayNamespace, vaultNamespace} {
				left += len(stored(t, "VirtualService", namespace)) + len(stored(t, "ServiceEntry", namespace))
			}
			return left == 0
		}, "exits go")
	})
	objects, err := controlplane.Decode(strings.NewReader(manifests))
	require.NoError(t, err)
	rules := 0
	for _, object := range objects {
		require.NoError(t, shared.Client.Create(t.Context(), object))
		t.Cleanup(func() { require.NoError(t, shared.Client.Delete(context.WithoutCancel(t.Context()), object)) })
		switch object.GetKind() {
		case "ServiceEntry":
			eventually(t, func() bool { return ready(get(t, object), "True") }, object.GetName())
		case "DestinationRule":
			if !strings.Contains(manifests, "kind: Gateway") {
				rules++
			}
		}
	}
	if rules > 0 {
		eventually(t, func() bool {
			exits, sealed := 0, 0
			for _, rule := range stored(t, "DestinationRule", "") {
				switch {
				case rule.GetNamespace() == controlplane.GatewayNamespace || rule.GetNamespace() == vaultNamespace:
					exits++
				case rule.GetAnnotations()[hop.IntentAnnotation] != "":
					sealed++
				}
			}
			return exits == 1 && sealed == rules
		}, "the rule of the exit, and the client's without what the exit has")
	}
	require.NoError(t, os.WriteFile(file, dump(t), 0o600))
}

// vaultClients leave by mutual TLS.
var vaultClients = map[string]string{"egress": "vault"}

func stored(t *testing.T, kind, namespace string) []unstructured.Unstructured {
	t.Helper()
	version := schema.GroupVersion{Group: "networking.istio.io", Version: "v1"}
	if kind == "Service" {
		version = corev1.SchemeGroupVersion
	}
	var list unstructured.UnstructuredList
	list.SetGroupVersionKind(version.WithKind(kind + "List"))
	require.NoError(t, shared.Client.List(context.WithoutCancel(t.Context()), &list, client.InNamespace(namespace)))
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
