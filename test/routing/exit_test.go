package routing

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"istio.io/istio/pilot/test/xdstest"
)

// TestTheExitAddsNothingOfItsOwn: what the author wrote of retries and timeouts for the client's side is all there is.
func TestTheExitAddsNothingOfItsOwn(t *testing.T) {
	seen := 0
	for _, configuration := range xdstest.ExtractRouteConfigurations(ofCase(t, "protocols/http2-and-grpc", "Plain").gateway(t, "").Routes) {
		for _, host := range configuration.GetVirtualHosts() {
			for _, route := range host.GetRoutes() {
				if action := route.GetRoute(); action != nil {
					seen++
					assert.Nil(t, action.GetRetryPolicy(), host.GetName())
					assert.Zero(t, action.GetTimeout().AsDuration(), host.GetName())
				}
			}
		}
	}
	assert.Equal(t, 2, seen)
}
