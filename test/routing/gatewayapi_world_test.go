package routing

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"istio.io/istio/pilot/pkg/simulation"
	"istio.io/istio/pilot/test/xdstest"
	"istio.io/istio/pkg/config/schema/gatewayapi"
	"istio.io/istio/pkg/config/schema/gvr"
	kubelib "istio.io/istio/pkg/kube"
	"istio.io/istio/pkg/kube/kclient/clienttest"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/policy"
	"github.com/egress-governor/egress-governor/internal/render"
	"github.com/egress-governor/egress-governor/internal/review"
)

// alsoServed has the generator's fake cluster serve kinds of the Gateway API that it does not by itself. Its CRDs say no
// version, and it leaves out what is older than it wants.
func alsoServed(t *testing.T) func(kubelib.Client) {
	clear(gatewayapi.MinimumCRDVersions)
	return func(c kubelib.Client) { clienttest.MakeCRD(t, c, gvr.BackendTLSPolicy) }
}

// parents are the ServiceEntries that routes of the Gateway API may be attached to, where there are some: the generator looks
// for them in its fake cluster, and for their hosts in its store of Istio's objects.
func parents(kubernetes, istio []string) (out []string) {
	if !slices.ContainsFunc(kubernetes, func(document string) bool { return strings.Contains(document, "gateway.networking.k8s.io/") }) {
		return nil
	}
	for _, document := range istio {
		if strings.Contains(document, "kind: ServiceEntry") {
			out = append(out, document)
		}
	}
	return out
}

// ofIstio says whether the generator reads an object from its store of Istio's objects.
func ofIstio(object map[string]any) bool {
	version, _ := object["apiVersion"].(string)
	return strings.Contains(version, ".istio.io/")
}

// unasked are policies that nobody has.
type unasked struct{}

func (unasked) Evaluate(context.Context, policy.Review) policy.Decision { return policy.Decision{} }

// sealedWorld is what a cluster holds after manifests were applied, and what was refused of the last one. What is refused is
// stored all the same: it shows what it would have done.
func sealedWorld(t *testing.T, transport egress.Transport, manifests string) (*mesh, string) {
	t.Helper()
	of := egresstest.Mesh()
	if transport == egress.MutualTLS {
		of = egresstest.MutualTLS()
	}
	cluster, err := render.New(of, unasked{}, time.Unix(1_700_000_000, 0))
	require.NoError(t, err)
	refused := ""
	for _, namespace := range []string{"app-a", "app-b", "app-c"} {
		manifests = fmt.Sprintf("\n---\n{apiVersion: v1, kind: Namespace, metadata: {name: %s}}", namespace) + manifests
	}
	for _, text := range strings.Split(gatewayService+manifests, "\n---\n") {
		object := &unstructured.Unstructured{}
		require.NoError(t, yaml.Unmarshal([]byte(text), &object.Object))
		if object.Object == nil {
			continue
		}
		outcome, err := cluster.Apply(t.Context(), object)
		require.NoError(t, err)
		if refused = ""; outcome != nil && outcome.Verdict != review.Allowed {
			refused = codes(outcome)
			require.NoError(t, cluster.Store(object))
		}
	}
	objects, err := cluster.Objects()
	require.NoError(t, err)
	out := ""
	for i, object := range objects {
		if created := object.GetCreationTimestamp(); created.IsZero() {
			// What we keep is younger than what it is kept for.
			object.SetCreationTimestamp(metav1.NewTime(time.Unix(1_800_000_000+int64(i), 0)))
		}
		if object.GetKind() != "Namespace" {
			out += document(t, object.Object)
		}
	}
	return newMeshUnder(t, allowAny(), out), refused
}

func codes(outcome *review.Outcome) string {
	var out []string
	for _, finding := range outcome.Findings {
		out = append(out, finding.Code)
	}
	slices.Sort(out)
	return strings.Join(slices.Compact(out), " ")
}

// endsOf returns where a call may end: at a host by the gateway, at a cluster of the mesh, straight out, or nowhere.
func endsOf(t *testing.T, m *mesh, c call) string {
	t.Helper()
	client := m.sidecar(t, c.namespace)
	return endsFrom(t, m, client, c, c.port, simulation.CallModeOutbound)
}

// endsFrom returns where a call ends that comes to a port of a proxy.
func endsFrom(t *testing.T, m *mesh, from *proxy, c call, port int, mode simulation.CallMode) string {
	t.Helper()
	out := map[string]bool{}
	found, err := ways(t, from, c, port, mode)
	for _, way := range found {
		at := slices.Compact(addresses(from, way.cluster))
		switch {
		case way.cluster == passthrough:
			out["straight"] = true
		case way.cluster == "", xdstest.ExtractCluster(way.cluster, from.Clusters) == nil:
			out["nowhere"] = true
		case len(at) == 0 || !strings.HasPrefix(at[0], gatewayHost+":"):
			out[strings.TrimSuffix(way.cluster, ".svc.cluster.local")] = true
		default:
			arrived := c
			arrived.asks = way.asks
			if context := spoken(t, from, way.cluster); context != nil {
				arrived.mutual = &mutual{"spiffe://cluster.local/ns/" + c.namespace + "/sa/default", context.Sni}
			}
			out[exitOf(t, m.gateway(t, ""), arrived, at[0])] = true
		}
	}
	if err != nil || len(found) == 0 {
		return "nowhere"
	}
	return strings.Join(slices.Sorted(maps.Keys(out)), " and ")
}

// exitOf returns where the gateway leads what comes to a port of its Service.
func exitOf(t *testing.T, gateway *proxy, c call, at string) string {
	t.Helper()
	port := map[string]int{gatewayHost + ":80": 8080, gatewayHost + ":443": 8443}[at]
	exits, err := clusters(t, gateway, c, port, simulation.CallModeGateway)
	ends := map[string]bool{}
	for _, exit := range exits {
		ends[strings.Join(addresses(gateway, exit), ",")] = true
	}
	if err != nil || len(exits) == 0 {
		return "nowhere"
	}
	return strings.Join(slices.Sorted(maps.Keys(ends)), " and ")
}
