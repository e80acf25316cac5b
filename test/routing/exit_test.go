package routing

import (
	"testing"

	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"github.com/stretchr/testify/assert"
	"istio.io/istio/pilot/test/xdstest"
)

// TestTheExitRepeatsWhatNoHostBeganUpon, at another endpoint, and nothing else: other retries and timeouts are those that the author wrote
// for the client's side.
func TestTheExitRepeatsWhatNoHostBeganUpon(t *testing.T) {
	for name, routes := range map[string]int{"protocols/http2-and-grpc": 2, "encryption/by-target-port": 1, "encryption/by-route": 2, "routes/pair": 8, "wildcard/names-and-ports": 1} {
		for _, transport := range []string{"Plain", "MutualTLS"} {
			found := actions(ofCase(t, name, transport).gateway(t, ""))
			assert.Len(t, found, routes, name)
			for _, action := range found {
				policy := action.GetRetryPolicy()
				assert.Equal(t, "connect-failure,refused-stream", policy.GetRetryOn(), name)
				assert.Empty(t, policy.GetRetriableStatusCodes(), name)
				assert.EqualValues(t, 2, policy.GetNumRetries().GetValue(), name)
				assert.Nil(t, policy.GetPerTryTimeout(), name)
				if assert.Len(t, policy.GetRetryHostPredicate(), 1, name) {
					assert.Equal(t, "envoy.retry_host_predicates.previous_hosts", policy.RetryHostPredicate[0].Name)
				}
				assert.Zero(t, action.GetTimeout().AsDuration(), name)
			}
		}
	}
}

// actions are those of the routes by which a proxy leads HTTP calls on.
func actions(of *proxy) (out []*route.RouteAction) {
	for _, configuration := range xdstest.ExtractRouteConfigurations(of.Routes) {
		for _, host := range configuration.GetVirtualHosts() {
			for _, route := range host.GetRoutes() {
				if action := route.GetRoute(); action != nil {
					out = append(out, action)
				}
			}
		}
	}
	return out
}
