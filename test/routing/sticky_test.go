package routing

import (
	"testing"

	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"github.com/stretchr/testify/assert"
	"istio.io/istio/pilot/test/xdstest"
)

// TestACookieIsTheGatewaysAlone: with one of the client's proxy beside it, of the same name, the first call leads its caller elsewhere
// than the next.
func TestACookieIsTheGatewaysAlone(t *testing.T) {
	for _, transport := range []string{"Plain", "MutualTLS"} {
		of := ofCase(t, "rules/sticky-cookie", transport)
		assert.Empty(t, cookiesOf(of.sidecar(t, "shop")), transport)
		assert.Equal(t, []string{"session-id"}, cookiesOf(of.gateway(t, "")), transport)
	}
}

// cookiesOf are those by which a proxy chooses among endpoints.
func cookiesOf(of *proxy) (out []string) {
	for _, configuration := range xdstest.ExtractRouteConfigurations(of.Routes) {
		for _, host := range configuration.GetVirtualHosts() {
			for _, each := range host.GetRoutes() {
				for _, hash := range each.GetRoute().GetHashPolicy() {
					if cookie, is := hash.GetPolicySpecifier().(*route.RouteAction_HashPolicy_Cookie_); is {
						out = append(out, cookie.Cookie.GetName())
					}
				}
			}
		}
	}
	return out
}
