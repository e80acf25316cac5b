package registry_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/types"

	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/registry"
)

// TestAGatewayThatWasThereBefore is a problem of the egress gateway whose port it takes, found by the labels of the pods,
// and the entries that leave by it are looked at again when it comes and when it goes.
func TestAGatewayThatWasThereBefore(t *testing.T) {
	t.Parallel()
	mesh := egresstest.TwoGateways()
	r := registry.New(mesh)
	r.PutNamespace("a", nil)
	gw := mesh.Gateways[1]
	put(t, r, object(t, "ServiceEntry", "a", "e", sealed, 0))
	var woken []types.NamespacedName
	r.OnChange(func(change registry.Change) { woken = append(woken, change.Entries...) })
	woken = nil
	codes := func() (out []string) {
		for _, problem := range r.Problems(gw) {
			out = append(out, problem.Code)
			assert.NotEmpty(t, problem.Message+problem.Fix)
		}
		return out
	}
	before := codes()
	put(t, r, object(t, "Gateway", "a", "theirs", `{selector: {app: egress}, servers: [{port: {number: 443, name: tls, protocol: TLS}, hosts: [x.test], tls: {mode: ISTIO_MUTUAL}}]}`, 0))
	put(t, r, object(t, "Gateway", "a", "harmless", `{selector: {istio: egressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [x.test]}]}`, 0))
	assert.Equal(t, before, codes())
	assert.Empty(t, woken)

	r.PutPod("istio-system", "egress-1", map[string]string{"istio": "egressgateway", "app": "egress"})
	assert.Equal(t, append(before, "foreign-gateway"), codes())
	assert.Equal(t, []types.NamespacedName{{Namespace: "a", Name: "e"}}, woken)
	assert.Contains(t, r.Foreign(gw)[0].Message, "Gateway a/theirs, spec.servers[0].port: ")
	assert.Empty(t, r.Foreign(mesh.Gateways[0]), "the other gateway's are not these pods")

	require.NotNil(t, r.Binding("a", "theirs"))
	r.DeleteBinding("a", "theirs")
	assert.Equal(t, before, codes())
	assert.Len(t, woken, 2)
	r.DeletePod("istio-system", "egress-1")
	assert.Empty(t, r.Pods("istio-system"))
}
