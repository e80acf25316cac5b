package hop_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// TestWhatIsReadStaysAsItIs: the intent of rewritten routes, and what checks them, share with the object what they put nothing in the
// place of, also where a patch changed a part of what a rewrite had put there.
func TestWhatIsReadStaysAsItIs(t *testing.T) {
	t.Parallel()
	mesh, view := egresstest.Mesh(), cluster()
	stored, err := hop.Inject(route(t, `{hosts: [api.example.com], http: [
		{match: [{uri: {prefix: /v1}}], route: [{destination: {host: api.example.com, port: {number: 80}}, headers: {request: {set: {x: "y"}}}}], mirrors: [{destination: {host: api.example.com}}]},
		{redirect: {uri: /}}, {route: [{destination: {host: api.example.com}, weight: 1}, {destination: {host: local}, weight: 1}], mirror: {host: api.example.com}}]}`), mesh.Gateways[0], mesh, view)
	require.NoError(t, err)
	patched := stored.DeepCopy()
	first := func(vs *unstructured.Unstructured) map[string]any {
		http := vs.Object["spec"].(map[string]any)["http"].([]any)
		return http[0].(map[string]any)["route"].([]any)[0].(map[string]any)["destination"].(map[string]any)
	}
	first(patched)["port"].(map[string]any)["name"] = "patched"
	first(patched)["subset"] = "v1"
	for name, object := range map[string]*unstructured.Unstructured{"stored": stored, "patched": patched} {
		before := object.DeepCopy()
		intent, err := hop.RouteIntent(object, mesh)
		require.NoError(t, err)
		require.Equal(t, "api.example.com", first(intent)["host"], name)
		written := intent.DeepCopy()
		assert.Empty(t, hop.CheckInjected(object, intent, mesh), name)
		assert.Equal(t, before, object, name)
		assert.Equal(t, written, intent, name)
		metadata, _ := intent.Object["metadata"].(map[string]any)
		metadata["name"] = "other"
		assert.Equal(t, before, object, "%s: its metadata is its own", name)
	}
}
