package integration

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/internal/hop"
)

// patches are what somebody makes of what is stored, by kind.
var patches = map[string][]string{
	"": {
		`{"metadata":{"annotations":{"RECORD":null}}}`,
		`{"metadata":{"annotations":{"RECORD":"[]"}}}`,
		`{"metadata":{"annotations":{"RECORD":"null"}}}`,
		`{"metadata":{"annotations":{"RECORD":1}}}`,
		`{"metadata":{"annotations":null,"labels":null}}`,
		`{"metadata":{"uid":"other"}}`,
		`{"metadata":{"generation":99,"creationTimestamp":"2000-01-01T00:00:00Z"}}`,
		`{"metadata":{"deletionTimestamp":"2000-01-01T00:00:00Z","deletionGracePeriodSeconds":0}}`,
		`{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"Pod","name":"a","uid":"a","blockOwnerDeletion":true}]}}`,
		`{"metadata":{"finalizers":["hold","example.com/hold"]}}`,
		`{"metadata":{"managedFields":[]}}`,
		`{"metadata":{"labels":{"app.kubernetes.io/managed-by":"egress-governor"}}}`,
		`{"metadata":{"labels":{"istio.io/use-waypoint":"none","a b":"c"}}}`,
		`{"spec":null}`,
		`{"spec":{"more":1}}`,
		`{"status":{"conditions":[{"type":"ExitReady","status":"False"}]}}`,
		`[{"op":"remove","path":"/spec"}]`,
		`[{"op":"test","path":"/metadata/name","value":"other"}]`,
		`[{"op":"move","from":"/spec","path":"/status"}]`,
	},
	"ServiceEntry": {
		`{"metadata":{"annotations":{"RECORD":null}},"spec":{"endpoints":null}}`,
		`{"spec":{"endpoints":null}}`,
		`{"spec":{"endpoints":[{"address":"evil.test"}]}}`,
		`{"spec":{"endpoints":[{"address":"192.0.2.1"}],"resolution":"STATIC"}}`,
		`{"spec":{"hosts":["evil.test"]}}`,
		`{"spec":{"hosts":[]}}`,
		`{"spec":{"exportTo":["*"]}}`,
		`{"spec":{"exportTo":["~"]}}`,
		`{"spec":{"location":"MESH_INTERNAL"}}`,
		`{"spec":{"resolution":"NONE"}}`,
		`{"spec":{"resolution":null}}`,
		`{"spec":{"ports":[{"number":5432,"name":"db","protocol":"TCP"}]}}`,
		`{"spec":{"ports":[{"number":443,"name":"tls","protocol":"TLS","targetPort":8443},{"number":80,"name":"http","protocol":"HTTP"}]}}`,
		`{"spec":{"workloadSelector":{"labels":{"a":"b"}}}}`,
		`{"spec":{"addresses":["10.0.0.1","0.0.0.0/0"]}}`,
		`[{"op":"add","path":"/spec/endpoints/-","value":{"address":"evil.test"}}]`,
		`[{"op":"replace","path":"/spec/endpoints/0/address","value":"evil.test"}]`,
		`[{"op":"copy","from":"/spec/hosts/0","path":"/spec/endpoints/0/address"}]`,
	},
	"VirtualService": {
		`[{"op":"replace","path":"/spec/tls/0/route/0/destination/host","value":"evil.test"}]`,
		`[{"op":"replace","path":"/spec/tls/0/route/0/destination/host","value":"HOST"}]`,
		`[{"op":"add","path":"/spec/tls/0/route/-","value":{"weight":50,"destination":{"host":"evil.test"}}}]`,
		`[{"op":"add","path":"/spec/tcp","value":[{"route":[{"destination":{"host":"HOST","port":{"number":443}}}]}]}]`,
		`{"spec":{"hosts":["evil.test"]}}`,
		`{"spec":{"gateways":["mesh","istio-system/other"]}}`,
		`{"spec":{"exportTo":["*"]}}`,
		`{"spec":{"tls":null,"http":[{"route":[{"destination":{"host":"HOST"}}]}]}}`,
	},
	"DestinationRule": {
		`{"spec":{"host":"evil.test"}}`,
		`{"spec":{"host":"istio-egressgateway.istio-system.svc.cluster.local"}}`,
		`{"spec":{"trafficPolicy":{"tls":{"mode":"SIMPLE","sni":"evil.test"}}}}`,
		`{"spec":{"trafficPolicy":null,"subsets":[{"name":"a","labels":{"a":"b"},"trafficPolicy":{"tls":{"mode":"DISABLE"}}}]}}`,
		`{"spec":{"exportTo":["*"],"workloadSelector":{"matchLabels":{"a":"b"}}}}`,
	},
}

// TestWhatIsMadeOfWhatIsStoredIsAnsweredAlike, by newcomers and by whoever would have it otherwise than it was sealed.
func TestWhatIsMadeOfWhatIsStoredIsAnsweredAlike(t *testing.T) {
	t.Parallel()
	guarded(t)
	ns := namespace(t, injected)
	const host = "stored.updates.test"
	objects := []*unstructured.Unstructured{
		entry(t, "v1", ns, "stored", strings.ReplaceAll(hostSpec, "HOST", host)),
		virtualService(t, "v1", ns, strings.ReplaceAll(`{hosts: [HOST], tls: [{match: [{sniHosts: [HOST]}], route: [{destination: {host: HOST, port: {number: 443}}}]}]}`, "HOST", host)),
		object(t, ns, "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: stored}\nspec: {host: "+host+", trafficPolicy: {connectionPool: {tcp: {maxConnections: 3}}}}"),
	}
	for _, object := range objects {
		require.NoError(t, shared.Client.Create(t.Context(), object))
		t.Cleanup(func() { assert.NoError(t, shared.Client.Delete(context.WithoutCancel(t.Context()), object)) })
		if object.GetKind() == "ServiceEntry" {
			eventually(t, func() bool { return ready(get(t, object), "True") }, "ExitReady")
		}
	}
	c, _ := author(t)
	alike(t, func() {
		for _, object := range objects {
			for _, patch := range append(patches[""], patches[object.GetKind()]...) {
				kind := types.MergePatchType
				if strings.HasPrefix(patch, "[") {
					kind = types.JSONPatchType
				}
				patch = strings.NewReplacer("RECORD", hop.IntentAnnotation, "HOST", host).Replace(patch)
				for _, options := range [][]client.PatchOption{{client.DryRunAll}, {client.DryRunAll, strict}} {
					_ = c.Patch(t.Context(), object.DeepCopy(), client.RawPatch(kind, []byte(patch)), options...) // what both say is the same
				}
			}
		}
	})
}
