package routing

import (
	"testing"

	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"github.com/stretchr/testify/assert"
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
	for _, action := range actions(of) {
		for _, hash := range action.GetHashPolicy() {
			if cookie, is := hash.GetPolicySpecifier().(*route.RouteAction_HashPolicy_Cookie_); is {
				out = append(out, cookie.Cookie.GetName())
			}
		}
	}
	return out
}
