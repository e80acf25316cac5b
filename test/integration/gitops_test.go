package integration

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestAServerSideDryRunIsWhatIsStored: what is applied once more, as tools do that compare what is in Git with a cluster, gives
// what is stored, of each kind that is stored otherwise than it is written.
func TestAServerSideDryRunIsWhatIsStored(t *testing.T) {
	t.Parallel()
	ns := namespace(t, nil)
	se := entry(t, "v1", ns, "api", `{hosts: [gitops.example.com], resolution: NONE, ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]}`)
	vs := virtualService(t, "v1", ns, `{hosts: [gitops.example.com], http: [{timeout: 3s, route: [{destination: {host: gitops.example.com, port: {number: 80}}}]}]}`)
	dr := entry(t, "v1", ns, "api", `{host: gitops.example.com, trafficPolicy: {outlierDetection: {consecutive5xxErrors: 3}, connectionPool: {tcp: {maxConnections: 10}}}}`)
	dr.SetKind("DestinationRule")
	apply := func(object *unstructured.Unstructured, options ...client.PatchOption) *unstructured.Unstructured {
		out := object.DeepCopy()
		require.NoError(t, shared.Client.Patch(t.Context(), out, client.Apply, append(options, client.FieldOwner("argocd-controller"), client.ForceOwnership)...)) //nolint:staticcheck // as a GitOps controller applies
		return out
	}
	for _, object := range []*unstructured.Unstructured{se, vs, dr} {
		apply(object)
	}
	eventually(t, func() bool { return ready(get(t, se), "True") }, "ExitReady")
	for _, object := range []*unstructured.Unstructured{se, vs, dr} {
		// A replica that has just started, as other tests have them do, may know the entry a moment later.
		eventually(t, func() bool {
			live := get(t, object)
			return !assert.ObjectsAreEqual(object.Object["spec"], live.Object["spec"]) &&
				assert.ObjectsAreEqual(written(live), written(apply(object, client.DryRunAll)))
		}, object.GetKind()+" is stored otherwise than it is written, and a dry run gives it so")
	}
}
