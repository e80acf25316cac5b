package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/util/flowcontrol"

	"github.com/egress-governor/egress-governor/internal/adopt"
	"github.com/egress-governor/egress-governor/internal/config"
	"github.com/egress-governor/egress-governor/internal/dryrun"
	"github.com/egress-governor/egress-governor/internal/manifest"
)

// byHand is a namespace with a hop of Istio's guides, and one of others that have an entry of its host for themselves.
const byHand = `
apiVersion: v1
kind: Namespace
metadata: {name: news}
---
apiVersion: v1
kind: Namespace
metadata: {name: others}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: hop, namespace: news}
spec: {selector: {istio: egressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [news.example.com]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: hop, namespace: news}
spec:
  hosts: [news.example.com]
  exportTo: ["."]
  gateways: [mesh, hop]
  http:
  - match: [{gateways: [mesh], port: 80}]
    route: [{destination: {host: istio-egressgateway.istio-system.svc.cluster.local, port: {number: 80}}}]
  - match: [{gateways: [hop], port: 80}]
    route: [{destination: {host: news.example.com, port: {number: 80}}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: news, namespace: news}
spec: {hosts: [news.example.com], exportTo: ["."], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]}
`

// sealedNews is the entry of a namespace once its exit is ready.
const sealedNews = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata:
  name: news
  namespace: NAMESPACE
  annotations:
    egress-governor.io/intent: '[{"now":[{"address":"istio-egressgateway.istio-system.svc.cluster.local","ports":{"http":80}}],"paths":["spec.endpoints"]}]'
spec: {hosts: [news.example.com], exportTo: ["."], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}], endpoints: [{address: istio-egressgateway.istio-system.svc.cluster.local, ports: {http: 80}}]}
status: {conditions: [{type: ExitReady, status: "True", reason: ExitConfigured, message: "", lastTransitionTime: "2026-01-01T00:00:00Z"}]}
`

// clusterOf is one that holds objects, of those of one name the first.
func clusterOf(t *testing.T, objects []manifest.Object) *fake.FakeDynamicClient {
	t.Helper()
	kinds := map[schema.GroupVersionResource]string{}
	for kind, resource := range resources {
		kinds[resource] = kind + "List"
	}
	out, held := fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), kinds), map[string]bool{}
	for _, object := range objects {
		if name := manifest.Name(object.Unstructured); !held[name] {
			held[name] = true
			require.NoError(t, out.Tracker().Create(resources[object.GetKind()], object.Unstructured, object.GetNamespace()))
		}
	}
	return out
}

// planned is the adoption of namespace news.
func planned(t *testing.T, stored []manifest.Object) (*adopt.Plan, *dryrun.Session) {
	t.Helper()
	installed, err := config.Installed()
	require.NoError(t, err)
	session, err := dryrun.New(dryrun.Options{Configuration: installed, Namespace: "default"})
	require.NoError(t, err)
	plan, err := adopt.New(t.Context(), session, session.Mesh(), stored, []string{"news"}, func() {})
	require.NoError(t, err)
	require.Len(t, plan.Hops, 2)
	require.Empty(t, plan.Hops[0].Keep)
	return plan, session
}

// TestAHopGoesOnceItsOwnCallersGoByASealedEntry: that somebody else does says nothing of them.
func TestAHopGoesOnceItsOwnCallersGoByASealedEntry(t *testing.T) {
	t.Parallel()
	for sealed, want := range map[string]string{
		"others": "VirtualService news/hop is not retired: ServiceEntry news/news, by which namespace news calls host news.example.com, is not sealed",
		"news":   "",
	} {
		stored, err := manifest.Parse("cluster", []byte(byHand))
		require.NoError(t, err)
		plan, session := planned(t, stored)
		now, err := manifest.Parse("cluster", []byte(strings.ReplaceAll(sealedNews, "NAMESPACE", sealed)))
		require.NoError(t, err)
		client := clusterOf(t, append(now, stored...))
		h := &hand{client: client, mesh: session.Mesh(), limiter: flowcontrol.NewFakeAlwaysRateLimiter()}
		file := filepath.Join(t.TempDir(), "retired.yaml")
		err = h.retire(t.Context(), plan, session, file)
		left, listErr := client.Resource(resources["VirtualService"]).List(t.Context(), metav1.ListOptions{})
		require.NoError(t, listErr)
		if want != "" {
			require.EqualError(t, err, want)
			assert.Len(t, left.Items, 1)
			continue
		}
		require.NoError(t, err)
		assert.Empty(t, left.Items)
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		assert.Contains(t, string(text), "kind: VirtualService")
	}
}
