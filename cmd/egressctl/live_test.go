package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/egress-governor/egress-governor/internal/manifest"
)

// cluster returns a client of a cluster that holds the objects of a text.
func cluster(t *testing.T, text string) *fake.FakeDynamicClient {
	t.Helper()
	objects, err := manifest.Parse("cluster", []byte(text))
	require.NoError(t, err)
	kinds := map[schema.GroupVersionResource]string{}
	for _, resource := range read {
		kinds[resource] = "List"
	}
	out := fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), kinds)
	for _, object := range objects {
		require.NoError(t, out.Tracker().Add(object.Unstructured))
	}
	return out
}

const held = `
apiVersion: v1
kind: Namespace
metadata: {name: payments, labels: {team: payments}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: governor, namespace: platform, labels: {app.kubernetes.io/name: egress-governor}}
data:
  config.yaml: |
    apiVersion: config.egress-governor.io/v1alpha1
    kind: Configuration
    gateways:
    - {name: theirs, service: out.platform.svc.cluster.local, selector: {app: out}, ports: {http: 80, tls: 443}, transport: MutualTLS}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "defaultConfig: {proxyMetadata: {ISTIO_META_DNS_CAPTURE: true}}"}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: db, namespace: payments}
spec: {hosts: [db.example.com], ports: [{number: 5432, name: tcp, protocol: TCP}], resolution: DNS}
`

// TestWhatAClusterHoldsDecides: its configuration, what its sidecars do, and its objects.
func TestWhatAClusterHoldsDecides(t *testing.T) {
	t.Parallel()
	client := cluster(t, held)
	client.PrependReactor("list", "grpcroutes", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewNotFound(schema.GroupResource{Resource: "grpcroutes"}, "")
	})
	stored, err := list(t.Context(), client, "https://cluster", read)
	require.NoError(t, err)
	require.Len(t, stored, 4)
	var i inputs
	configuration, err := i.configuration(stored)
	require.NoError(t, err)
	assert.Equal(t, "theirs", configuration.Gateways[0].Name)
	capture, err := captures(configuration, stored)
	require.NoError(t, err)
	assert.True(t, capture)

	i = inputs{context: "theirs"}
	_, err = i.configuration(nil)
	require.ErrorContains(t, err, "the cluster has no ConfigMap of egress-governor; name a configuration by --config")
	_, err = i.configuration(append(stored, stored...))
	require.ErrorContains(t, err, "several ConfigMaps")

	// The file of such a ConfigMap says the same.
	file := filepath.Join(t.TempDir(), "cluster.yaml")
	require.NoError(t, os.WriteFile(file, []byte(held), 0o600))
	code, out, errs := run(t, "", "render", "-f", "testdata/entry.yaml", "--cluster", file)
	require.Equal(t, clean, code, errs)
	assert.Contains(t, out, "address: out.platform.svc.cluster.local")
}

// TestWhatCannotBeReadIsAnError: an answer without it could be another one.
func TestWhatCannotBeReadIsAnError(t *testing.T) {
	t.Parallel()
	client := cluster(t, held)
	client.PrependReactor("list", "serviceentries", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "serviceentries"}, "", nil)
	})
	_, err := list(t.Context(), client, "https://cluster", read)
	assert.ErrorContains(t, err, "cluster https://cluster: serviceentries cannot be read: ")
}
