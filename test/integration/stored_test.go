package integration

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/hop"
)

// vaultClients leave by mutual TLS.
var vaultClients = map[string]string{"egress": "vault"}

func stored(t *testing.T, kind, namespace string) []unstructured.Unstructured {
	t.Helper()
	version := istioVersion(kind)
	if kind == "Service" {
		version = corev1.SchemeGroupVersion
	}
	var list unstructured.UnstructuredList
	list.SetGroupVersionKind(version.WithKind(kind + "List"))
	require.NoError(t, shared.Client.List(context.WithoutCancel(t.Context()), &list, client.InNamespace(namespace)))
	return list.Items
}

// istioVersion is that in which a kind of Istio's is served.
func istioVersion(kind string) schema.GroupVersion {
	if kind == hop.EnvoyFilter.Kind {
		return hop.EnvoyFilter.GroupVersion()
	}
	return schema.GroupVersion{Group: "networking.istio.io", Version: "v1"}
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
