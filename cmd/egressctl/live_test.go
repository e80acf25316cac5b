package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
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
	for _, resource := range slices.Concat(read, definitions, guards) {
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

// TestWhatDevelopersMayNotReadIsTold: the kinds and guards that this program comes with count then.
func TestWhatDevelopersMayNotReadIsTold(t *testing.T) {
	t.Parallel()
	client := cluster(t, strings.ReplaceAll(guard, "NAME", "egress-governor"))
	i := inputs{guarded: true}
	held, err := i.itself(t.Context(), client, "https://cluster")
	require.NoError(t, err)
	assert.Len(t, held, 2)
	assert.True(t, i.unguarded, "these are all")
	assert.Empty(t, i.notes)
	for _, resource := range []string{"customresourcedefinitions", "validatingadmissionpolicies", "validatingadmissionpolicybindings"} {
		client.PrependReactor("list", resource, func(clienttesting.Action) (bool, runtime.Object, error) {
			return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: resource}, "", nil)
		})
	}
	i = inputs{guarded: true}
	held, err = i.itself(t.Context(), client, "https://cluster")
	require.NoError(t, err)
	assert.Empty(t, held)
	assert.False(t, i.unguarded)
	assert.Len(t, i.notes, 2)
	client.PrependReactor("list", "validatingadmissionpolicies", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewInternalError(errors.New("broken"))
	})
	_, err = i.itself(t.Context(), client, "https://cluster")
	assert.ErrorContains(t, err, "validatingadmissionpolicies cannot be read")
}
