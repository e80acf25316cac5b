package main

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"github.com/egress-governor/egress-governor/internal/checkup"
	"github.com/egress-governor/egress-governor/internal/manifest"
)

// snapshotOf is what was read of a cluster that holds the objects of a text.
func snapshotOf(t *testing.T, resources map[string]schema.GroupResource, text string) *checking {
	t.Helper()
	out := asked(t, &rest.Config{Host: "https://cluster"})
	objects, err := manifest.Parse("cluster", []byte(text))
	require.NoError(t, err)
	for _, object := range objects {
		resource := resources[object.GetKind()]
		out.out.Objects[resource] = append(out.out.Objects[resource], object.Unstructured)
	}
	out.stored = objects
	out.out.Mesh, err = out.out.Configuration.Mesh()
	require.NoError(t, err)
	return out
}

// TestSidecarsAreOpenThatLetOut what is to be blocked, by their own word or by the mesh's.
func TestSidecarsAreOpenThatLetOut(t *testing.T) {
	t.Parallel()
	kinds := map[string]schema.GroupResource{
		"Namespace": {Resource: "namespaces"}, "ConfigMap": {Resource: "configmaps"}, "Sidecar": {Group: "networking.istio.io", Resource: "sidecars"},
	}
	const text = `
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {kubernetes.io/metadata.name: shop}}
---
apiVersion: v1
kind: Namespace
metadata: {name: kube-system, labels: {kubernetes.io/metadata.name: kube-system}}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: open, namespace: shop}
spec: {outboundTrafficPolicy: {mode: ALLOW_ANY}}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: silent, namespace: shop}
spec: {}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: closed, namespace: shop}
spec: {outboundTrafficPolicy: {mode: REGISTRY_ONLY}}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: closed-by-default, namespace: shop}
spec: {outboundTrafficPolicy: {}}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: nobodys, namespace: kube-system}
spec: {outboundTrafficPolicy: {mode: ALLOW_ANY}}
`
	assert.Equal(t, []string{"shop/open", "shop/silent"}, snapshotOf(t, kinds, text).open())
	const closed = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata: {mesh: 'outboundTrafficPolicy: {mode: REGISTRY_ONLY}'}\n"
	assert.Equal(t, []string{"shop/open"}, snapshotOf(t, kinds, text+closed).open())

	assert.Empty(t, snapshotOf(t, kinds, text).unclosed(), "some are for all workloads")
	const bare = "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: bare}\n"
	assert.Equal(t, []string{"Sidecar bare/egress-governor"}, snapshotOf(t, kinds, text+bare).unclosed())
	assert.Empty(t, snapshotOf(t, kinds, text+bare+closed).unclosed())
}

// TestWithoutAConfigurationItIsNotKnown, and said why; nothing is taken for what the chart installs.
func TestWithoutAConfigurationItIsNotKnown(t *testing.T) {
	t.Parallel()
	c := asked(t, &rest.Config{Host: "https://cluster"})
	c.out = &checkup.Snapshot{Objects: map[schema.GroupResource][]*unstructured.Unstructured{}, Unread: map[schema.GroupResource]error{}}
	c.configure()
	assert.Nil(t, c.out.Mesh)
	assert.Contains(t, c.out.Unconfigured, "the cluster has no ConfigMap of egress-governor")
	assert.Equal(t, errors.New("inner"), unwrapped(errors.Join(fmt.Errorf("outer: %w", errors.New("inner")))))
}
