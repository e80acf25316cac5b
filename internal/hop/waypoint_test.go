package hop

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
)

func labelled(labels map[string]any) *unstructured.Unstructured {
	metadata := map[string]any{"name": "api", "namespace": egresstest.Namespace}
	if labels != nil {
		metadata["labels"] = labels
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "metadata": metadata,
		"spec": map[string]any{"hosts": []any{"api.example.com"}, "resolution": "DNS", "ports": []any{map[string]any{"number": int64(80), "name": "http", "protocol": "HTTP"}}},
	}}
}

// TestAnEntryIsBoundAndGivenBack with the author's own labels, to whichever gateway it goes next.
func TestAnEntryIsBoundAndGivenBack(t *testing.T) {
	t.Parallel()
	mesh := egresstest.Ambient()
	for name, labels := range map[string]map[string]any{"none": nil, "its own": {"team": "a"}, "ours as well": {"istio.io/use-waypoint": "waypoint"}} {
		written := labelled(labels)
		sealed, err := Seal(written, mesh.Gateways[0], mesh)
		require.NoError(t, err, name)
		assert.Equal(t, egress.Waypoint{Namespace: "egress", Name: "waypoint"}, BoundTo(sealed), name)
		_, is := SealedTo(sealed, mesh)
		assert.True(t, is, "%s: it is sealed as well", name)
		intent, err := EntryIntent(sealed, mesh)
		require.NoError(t, err, name)
		assert.Equal(t, written.Object, intent.Object, name)

		unbound := egresstest.Mesh()
		moved, err := Seal(sealed, unbound.Gateways[0], unbound)
		require.NoError(t, err, name)
		want, err := Seal(written, unbound.Gateways[0], unbound)
		require.NoError(t, err, name)
		assert.Equal(t, want.Object, moved.Object, "%s: a gateway without a waypoint", name)
	}
}

// TestTheRecordOfLabelsIsNotTrusted: what it gives back is refused as if the author had written it, and what no label can be is
// nothing.
func TestTheRecordOfLabelsIsNotTrusted(t *testing.T) {
	t.Parallel()
	mesh := egresstest.Ambient()
	for record, code := range map[string]string{
		`[{"was":"none","now":"waypoint","paths":["metadata.labels[istio.io/use-waypoint]"]}]`:                        "other-waypoint",
		`[{"was":{"a":"b"},"now":"waypoint","paths":["metadata.labels[istio.io/use-waypoint]"]}]`:                     "",
		`[{"was":["a"],"now":"waypoint","paths":["metadata.labels[team]","metadata.labels[istio.io/use-waypoint]"]}]`: "",
		`[{"was":"none","now":"a","paths":["metadata.labels[team]"]}]`:                                                "",
	} {
		sealed, err := Seal(labelled(map[string]any{"team": "a"}), mesh.Gateways[0], mesh)
		require.NoError(t, err)
		sealed.SetAnnotations(map[string]string{IntentAnnotation: record})
		again, err := Seal(sealed, mesh.Gateways[0], mesh)
		if code != "" {
			var refusals Refusals
			require.ErrorAs(t, err, &refusals)
			assert.Equal(t, code, refusals[0].Code)
			continue
		}
		require.NoError(t, err, record)
		assert.Equal(t, map[string]string{"team": "a", "istio.io/use-waypoint": "waypoint", "istio.io/use-waypoint-namespace": "egress"}, again.GetLabels(), record)
	}
}

// TestALabelThatIsNoStringIsRefused: it is not that of the waypoint, and no reader of labels sees the others beside it.
func TestALabelThatIsNoStringIsRefused(t *testing.T) {
	t.Parallel()
	mesh := egresstest.Ambient()
	_, err := Seal(labelled(map[string]any{"team": int64(1), "istio.io/use-waypoint-canary": "mine"}), mesh.Gateways[0], mesh)
	var refusals Refusals
	require.ErrorAs(t, err, &refusals)
	assert.Equal(t, "metadata.labels[istio.io/use-waypoint-canary]", refusals[0].Field)
}

// TestWhomAWaypointTurnsAway: everybody but those whom some entry of each host lets in, on each port.
func TestWhomAWaypointTurnsAway(t *testing.T) {
	t.Parallel()
	http, tls := egress.Port{Number: 80, Name: "http", Protocol: "HTTP"}, egress.Port{Number: 443, Name: "tls", Protocol: "TLS"}
	const host = "api.example.com"
	entry := func(namespace string, exportTo []string, ports ...egress.Port) *egress.Entry {
		out := egresstest.Sealed(host, ports...)
		out.Namespace, out.ExportTo = namespace, exportTo
		return out
	}
	not := func(principals ...any) []any {
		if len(principals) == 0 {
			return []any{map[string]any{}}
		}
		return []any{map[string]any{"from": []any{map[string]any{"source": map[string]any{"notPrincipals": principals}}}}}
	}
	const a, b, c = "cluster.local/ns/a/sa/*", "cluster.local/ns/b/sa/*", "cluster.local/ns/c/sa/*"
	for name, tc := range map[string]struct {
		own    *egress.Entry
		others []*egress.Entry
		want   []any
	}{
		"its own namespace":         {entry("a", []string{"."}, http), nil, not(a)},
		"those it is exported to":   {entry("a", []string{".", "b", "nobody-governs"}, http), nil, not(a, b)},
		"everybody":                 {entry("a", nil, http), nil, nil},
		"those of others' entries":  {entry("a", []string{"."}, http), []*egress.Entry{entry("b", []string{"c"}, http)}, not(a, b, c)},
		"not of others' own ports":  {entry("a", []string{"."}, http, tls), []*egress.Entry{entry("b", []string{"."}, http)}, not(a)},
		"of a suspended one nobody": {func() *egress.Entry { out := entry("a", []string{"."}, http); out.Suspended = true; return out }(), nil, not()},
	} {
		mesh := egresstest.Ambient()
		cluster := egresstest.NewCluster()
		cluster.Mesh, cluster.Leaving = mesh, map[string]string{"a": "default", "b": "default", "c": "default"}
		cluster.Known = append([]*egress.Entry{tc.own}, tc.others...)
		assert.Nil(t, WaypointPolicySpec(mesh, cluster, tc.own), "%s: one that is bound to none", name)
		tc.own.Waypoint = egress.Waypoint{Namespace: "egress", Name: "waypoint"}
		spec := WaypointPolicySpec(mesh, cluster, tc.own)
		if tc.want == nil {
			assert.Nil(t, spec, name)
			continue
		}
		assert.Equal(t, map[string]any{
			"action": "DENY", "rules": tc.want,
			"targetRefs": []any{map[string]any{"group": "networking.istio.io", "kind": "ServiceEntry", "name": host}},
		}, spec, name)
	}
}
