package controller

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// TestDNSCaptureIsReadAsProxiesReadIt: whatever cannot be read leaves what was known.
func TestDNSCaptureIsReadAsProxiesReadIt(t *testing.T) {
	t.Parallel()
	at := types.NamespacedName{Namespace: "istio-system", Name: "istio"}
	const metadata = "defaultConfig: {proxyMetadata: {ISTIO_META_DNS_CAPTURE: "
	for name, tc := range map[string]struct {
		mesh string
		last bool
		want bool
	}{
		"on":                {metadata + `"true"}}`, false, true},
		"on, without marks": {metadata + "true}}", false, true},
		"off":               {metadata + `"false"}}`, true, false},
		"no word":           {metadata + `"yes"}}`, true, false},
		"not mentioned":     {"outboundTrafficPolicy: {mode: REGISTRY_ONLY}", true, false},
		"not YAML":          {"{", true, true},
	} {
		got := tc.last
		d := &DNSCapture{Live: clusterOf(t, meshConfig(tc.mesh)), MeshConfig: at, Set: func(on bool) { got = on }}
		assert.False(t, d.Asked(), name)
		d.look(t.Context())
		assert.True(t, d.Asked(), name)
		assert.Equal(t, tc.want, got, name)
	}
	got := true
	d := &DNSCapture{Live: clusterOf(t), MeshConfig: at, Set: func(on bool) { got = on }}
	d.look(t.Context())
	assert.False(t, got, "no Istio here")

	got = true
	down := interceptor.NewClient(clusterOf(t), interceptor.Funcs{Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
		return errors.New("down")
	}})
	d = &DNSCapture{Live: down, MeshConfig: at, Set: func(on bool) { got = on }}
	d.look(t.Context())
	assert.True(t, got)
	assert.True(t, d.Asked(), "an attempt was made")
	assert.False(t, d.NeedLeaderElection())
}
