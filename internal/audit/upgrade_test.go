package audit

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/review"
)

// TestWhatANewVersionRefusesIsNamed of what an older one stored, sealed as it is, before its author writes it again.
func TestWhatANewVersionRefusesIsNamed(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	object := func(kind, spec string) *unstructured.Unstructured {
		out := &unstructured.Unstructured{}
		require.NoError(t, yaml.Unmarshal([]byte("metadata: {name: a, namespace: app, uid: "+kind+"}\nspec: "+spec), &out.Object))
		out.SetGroupVersionKind(gvk(kind))
		return out
	}
	entry := object(serviceEntry, "{hosts: [own.test], resolution: STATIC, ports: [{number: 443, name: tls, protocol: TLS}], endpoints: [{address: 10.1.2.3}]}")
	entry, err := s.Reviewer.(*review.Reviewer).Rewrite(review.Request{Operation: review.Create, Object: entry, Name: "a", Namespace: review.Namespace{Name: "app"}})
	require.NoError(t, err)
	require.NoError(t, s.cluster.Create(t.Context(), entry))
	s.registry.PutEntry(s.registry.Read(entry))
	rule := object("DestinationRule", "{host: own.test, trafficPolicy: {outlierDetection: {interval: 5s}}}")
	require.NoError(t, s.cluster.Create(t.Context(), rule))
	s.audited()
	require.Empty(t, s.found[objectKey{serviceEntry, "app", "a"}].findings)

	s.Mesh.ClusterCIDRs = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	require.NoError(t, unstructured.SetNestedField(rule.Object, "0.5s", "spec", "trafficPolicy", "outlierDetection", "interval"))
	require.NoError(t, s.cluster.Update(t.Context(), rule))
	s.audited()
	for kind, code := range map[string]string{serviceEntry: "deputy-endpoint", "DestinationRule": "costly-setting"} {
		found := s.found[objectKey{kind, "app", "a"}].findings
		require.NotEmpty(t, found, kind)
		assert.Equal(t, code, found[0].Code)
	}
}
