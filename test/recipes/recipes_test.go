package recipes

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/config"
	"github.com/egress-governor/egress-governor/internal/dryrun"
	"github.com/egress-governor/egress-governor/internal/manifest"
)

const (
	external = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api, namespace: shop}
spec: {hosts: [api.example.com], resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}
`
	internal = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: stock, namespace: shop}
spec: {hosts: [stock.internal], location: MESH_INTERNAL, resolution: STATIC, workloadSelector: {labels: {app: stock}}, ports: [{number: 80, name: http, protocol: HTTP}]}
`
)

// stored returns an object as it is stored, in its second generation, with ExitReady of a status and reason that is told of it, without a status for none.
func stored(t *testing.T, text, status, reason string) *unstructured.Unstructured {
	t.Helper()
	installed, err := config.Installed()
	require.NoError(t, err)
	session, err := dryrun.New(dryrun.Options{Configuration: installed, Sending: dryrun.Sending{Time: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}})
	require.NoError(t, err)
	objects, err := manifest.Parse("recipe.yaml", []byte(text))
	require.NoError(t, err)
	answers, err := session.Apply(t.Context(), objects, func() {})
	require.NoError(t, err)
	require.True(t, answers[0].Allowed(), answers[0].Message)
	out, err := session.Stored(objects[0])
	require.NoError(t, err)
	out.SetGeneration(2)
	if status != "" {
		out.Object["status"] = map[string]any{"conditions": []any{map[string]any{
			"type": "ExitReady", "status": status, "reason": reason, "message": "as it is", "observedGeneration": int64(2),
		}}}
	}
	return out
}

// states are what an entry may say of its exit, and what Argo CD and Flux are to make of it.
var states = map[string]struct{ text, status, reason, argo, flux string }{
	"the mesh's own":       {internal, "", "", "Healthy", "Current"},
	"not sealed":           {internal, "False", "NotSealed", "Healthy", "Current"},
	"nothing yet":          {external, "", "", "Progressing", ""},
	"its exit stands":      {external, "True", "ExitConfigured", "Healthy", "Current"},
	"no gateway yet":       {external, "False", "GatewayNotReady", "Progressing", "InProgress"},
	"suspended":            {external, "False", "Suspended", "Degraded", "Failed"},
	"defined otherwise":    {external, "False", "HostConflict", "Degraded", "Failed"},
	"could not be made":    {external, "False", "ExitFailed", "Degraded", "Failed"},
	"no waypoint as yet":   {external, "False", "WaypointNotReady", "Progressing", "InProgress"},
	"leaves by no gateway": {external, "False", "NotCarried", "Degraded", "Failed"},
}

// told returns an object whose ExitReady, where it has one, is told of a generation, which may be text, as Istio's own types are written.
func told(t *testing.T, of *unstructured.Unstructured, at any) *unstructured.Unstructured {
	t.Helper()
	out := of.DeepCopy()
	conditions, is, err := unstructured.NestedSlice(out.Object, "status", "conditions")
	require.NoError(t, err)
	if is {
		conditions[0].(map[string]any)["observedGeneration"] = at
		require.NoError(t, unstructured.SetNestedSlice(out.Object, conditions, "status", "conditions"))
	}
	return out
}
