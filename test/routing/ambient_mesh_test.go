package routing

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	meshconfig "istio.io/api/mesh/v1alpha1"
	"istio.io/istio/pilot/pkg/features"
	"istio.io/istio/pilot/test/xds"
	"istio.io/istio/pkg/test"
	"istio.io/istio/pkg/workloadapi"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/policy"
	"github.com/egress-governor/egress-governor/internal/render"
	"github.com/egress-governor/egress-governor/internal/review"
)

// What ztunnel goes by is judged here: the objects of the workload API that istiod makes of what is stored, and the
// configuration of the waypoint that they name. Ztunnel itself runs nowhere, and no packet.

// anything is in force where there is no policy.
type anything struct{}

func (anything) Evaluate(context.Context, policy.Review) policy.Decision { return policy.Decision{} }

const ambientNamespaces = `
apiVersion: v1
kind: Namespace
metadata: {name: app-a, labels: {istio.io/dataplane-mode: ambient}}
---
apiVersion: v1
kind: Namespace
metadata: {name: app-b, labels: {istio.io/dataplane-mode: ambient}}
---
apiVersion: v1
kind: Namespace
metadata: {name: mixed, labels: {istio.io/dataplane-mode: ambient, istio-injection: enabled}}
---
apiVersion: v1
kind: Namespace
metadata: {name: sidecars, labels: {istio-injection: enabled}}
---
apiVersion: v1
kind: Namespace
metadata: {name: istio-system, labels: {kubernetes.io/metadata.name: istio-system}}
`

// waypointOf is a waypoint as istiod keeps it, with one pod.
func waypointOf(namespace, name, address, allowed string) string {
	return strings.NewReplacer("NAMESPACE", namespace, "NAME", name, "ADDRESS", address, "ALLOWED", allowed).Replace(`
---
apiVersion: v1
kind: Service
metadata: {name: NAME, namespace: NAMESPACE, labels: {gateway.istio.io/managed: istio.io-mesh-controller, gateway.networking.k8s.io/gateway-name: NAME}}
spec: {clusterIP: ADDRESS0, ports: [{appProtocol: hbone, name: mesh, port: 15008}], selector: {gateway.networking.k8s.io/gateway-name: NAME}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: NAME-1, namespace: NAMESPACE}
spec: {address: ADDRESS1, labels: {gateway.networking.k8s.io/gateway-name: NAME}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: NAME, namespace: NAMESPACE}
spec:
  gatewayClassName: istio-waypoint
  listeners: [{name: mesh, port: 15008, protocol: HBONE, allowedRoutes: {namespaces: {from: ALLOWED}}}]
status: {addresses: [{type: Hostname, value: NAME.NAMESPACE.svc.cluster.local}]}
`)
}

var shared = waypointOf("egress", "waypoint", "3.0.0.", "All")

// apiEntry is an entry of api.example.com.
func apiEntry(namespace, metadata, spec string) string {
	return fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api, namespace: %s%s}
spec: {hosts: [api.example.com], ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}], resolution: DNS%s}
`, namespace, metadata, spec)
}

func documents(t *testing.T, manifests string) (out []*unstructured.Unstructured) {
	t.Helper()
	for _, document := range strings.Split(manifests, "\n---\n") {
		object := &unstructured.Unstructured{}
		require.NoError(t, yaml.Unmarshal([]byte(document), &object.Object))
		if object.Object != nil {
			out = append(out, object)
		}
	}
	return out
}

// governedBy has manifests stored as the webhook and the controllers store them.
func governedBy(t *testing.T, mesh *egress.Mesh, manifests ...string) []*unstructured.Unstructured {
	t.Helper()
	cluster, err := render.New(mesh, anything{}, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	require.NoError(t, err)
	for _, object := range documents(t, ambientNamespaces+gatewayService) {
		require.NoError(t, cluster.Store(object))
	}
	for _, manifest := range manifests {
		for _, object := range documents(t, manifest) {
			outcome, err := cluster.Apply(t.Context(), object)
			require.NoError(t, err)
			if outcome != nil {
				require.Equal(t, review.Allowed, outcome.Verdict, "%v", outcome.Findings)
			}
		}
	}
	out, err := cluster.Objects()
	require.NoError(t, err)
	return out
}

// ambient is a control plane in ambient mode.
type ambient struct{ server *xds.FakeDiscoveryServer }

// newAmbient returns the control plane of objects and manifests under a mesh configuration, Istio's default where it is nil.
func newAmbient(t *testing.T, configuration *meshconfig.MeshConfig, objects []*unstructured.Unstructured, manifests ...string) *ambient {
	t.Helper()
	test.SetForTest(t, &features.EnableAmbient, true)
	test.SetForTest(t, &features.EnableAmbientWaypoints, true)
	for _, manifest := range manifests {
		objects = append(objects, documents(t, manifest)...)
	}
	var all []string
	for i, object := range objects {
		raw, err := yaml.Marshal(allocated(t, object, i).Object)
		require.NoError(t, err)
		all = append(all, string(raw))
	}
	// Ambient mode reads all kinds from the API server, the generator of proxies Istio's own from its store.
	text := strings.Join(all, "\n---\n")
	return &ambient{xds.NewFakeDiscoveryServer(t, xds.FakeOptions{ConfigString: text, KubernetesObjectString: text, MeshConfig: configuration})}
}

// allocated gives an entry the addresses that istiod's controller would, which does not run here. Whether istiod goes by them is
// its own business.
func allocated(t *testing.T, object *unstructured.Unstructured, i int) *unstructured.Unstructured {
	t.Helper()
	if object.GetKind() != "ServiceEntry" {
		return object
	}
	out := object.DeepCopy()
	hosts, _, _ := unstructured.NestedStringSlice(out.Object, "spec", "hosts")
	var addresses []any
	for j, host := range hosts {
		addresses = append(addresses, map[string]any{"value": fmt.Sprintf("240.240.%d.%d", i, j+1), "host": host})
	}
	require.NoError(t, unstructured.SetNestedSlice(out.Object, addresses, "status", "addresses"))
	return out
}

// service is what ztunnel is told of a host by the entry of a namespace.
func (a *ambient) service(t *testing.T, namespace, host string) *workloadapi.Service {
	t.Helper()
	for _, info := range a.server.AmbientIndex.All() {
		if of := info.GetService(); of != nil && of.Namespace == namespace && of.Hostname == host {
			return of
		}
	}
	require.Fail(t, "no service", "%s/%s", namespace, host)
	return nil
}

// called is the service by which a pod of a namespace calls a host: that of its own namespace, or else the one of all.
func (a *ambient) called(t *testing.T, namespace, host string) (out *workloadapi.Service) {
	t.Helper()
	for _, info := range a.server.AmbientIndex.All() {
		of := info.GetService()
		if of == nil || of.Hostname != host {
			continue
		}
		if of.Namespace == namespace {
			return of
		}
		if of.Canonical {
			out = of
		}
	}
	return out
}

func waypointName(of *workloadapi.Service) string {
	return of.GetWaypoint().GetHostname().GetHostname()
}

// endpoints is where ztunnel goes for a service that has no waypoint.
func (a *ambient) endpoints(of *workloadapi.Service) (out []string) {
	for _, info := range a.server.AmbientIndex.All() {
		if workload := info.GetWorkload(); workload != nil && workload.Services[of.Namespace+"/"+of.Hostname] != nil {
			out = append(out, workload.Hostname)
		}
	}
	return out
}

// refusal is the first that an entry is refused by, empty where it is stored.
func refusal(t *testing.T, mesh *egress.Mesh, object *unstructured.Unstructured, before ...string) string {
	t.Helper()
	cluster, err := render.New(mesh, anything{}, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	require.NoError(t, err)
	for _, of := range documents(t, ambientNamespaces+gatewayService) {
		require.NoError(t, cluster.Store(of))
	}
	for _, manifest := range before {
		_, err := cluster.Apply(t.Context(), documents(t, manifest)[0])
		require.NoError(t, err)
	}
	outcome, err := cluster.Apply(t.Context(), object)
	require.NoError(t, err)
	if len(outcome.Findings) == 0 {
		return ""
	}
	return outcome.Findings[0].Code + " " + outcome.Findings[0].Field
}
