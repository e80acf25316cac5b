package review

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
)

// manyHosts is a cluster with an entry of as many hosts as Istio takes.
func manyHosts() *egresstest.Cluster {
	out := egresstest.NewCluster()
	many := egresstest.Sealed("many", egress.Port{Number: 80, Name: "http", Protocol: "HTTP"}, egress.Port{Number: 443, Name: "tls", Protocol: "TLS"})
	many.Hosts = nil
	for i := range 256 {
		many.Hosts = append(many.Hosts, fmt.Sprintf("h%d.many.test", i))
	}
	out.Known = append(out.Known, many)
	return out
}

// attached is a route with so many parents, rules, and headers in each rule.
func attached(t *testing.T, kind string, parents, rules, headers int) *unstructured.Unstructured {
	t.Helper()
	rule := `{filters: [{requestHeaderModifier: {set: [` + strings.Repeat(`{name: x, value: y}, `, headers) + `]}}], backendRefs: [{name: local, port: 80}]}, `
	return object(t, fmt.Sprintf("apiVersion: gateway.networking.k8s.io/v1\nkind: %s\nmetadata: {name: r, namespace: payments}\nspec:\n  parentRefs: [%s]\n  rules: [%s]",
		kind, strings.Repeat("{group: networking.istio.io, kind: ServiceEntry, name: many}, ", parents), strings.Repeat(rule, rules)))
}

// TestARouteOfTheGatewayAPIIsBounded: an entry's hosts count, which the route itself does not show.
func TestARouteOfTheGatewayAPIIsBounded(t *testing.T) {
	t.Parallel()
	r := newReviewer()
	r.View = manyHosts()
	for _, kind := range []string{"HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute"} {
		for _, tc := range []struct {
			parents, rules, headers int
			refused                 bool
		}{{1, 8, 4, false}, {16, 1, 0, false}, {32, 16, 16, true}, {32, 16, 0, true}, {1, 1, 1000, false}} {
			outcome, err := r.Review(t.Context(), create(attached(t, kind, tc.parents, tc.rules, tc.headers)))
			require.NoError(t, err)
			assert.Equal(t, tc.refused, len(outcome.Of(Refused)) > 0 && outcome.Of(Refused)[0].Code == "too-large", "%s %+v %v", kind, tc, outcome.Findings)
		}
	}
	wild := egresstest.Sealed("wild", egress.Port{Number: 443, Name: "tls", Protocol: "TLS"})
	wild.Hosts = nil
	for i := range maxWildcards + 1 {
		wild.Hosts = append(wild.Hosts, fmt.Sprintf("*.h%d.test", i))
	}
	cluster := egresstest.NewCluster()
	cluster.Known = append(cluster.Known, wild)
	r.View = cluster
	in := object(t, "apiVersion: gateway.networking.k8s.io/v1\nkind: TLSRoute\nmetadata: {name: r, namespace: payments}\nspec: {parentRefs: [{group: networking.istio.io, kind: ServiceEntry, name: wild}]}")
	outcome, err := r.Review(t.Context(), create(in))
	require.NoError(t, err)
	assert.Equal(t, "too-large", outcome.Findings[0].Code)
}

const toNobody = "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: r, namespace: payments%s}\nspec:\n  parentRefs: [{group: networking.istio.io, kind: ServiceEntry, name: api.example.com}]\n  rules: [{backendRefs: [{group: networking.istio.io, kind: Hostname, name: nobody.test, port: %d}]}]"

// TestAStoredRouteOfTheGatewayAPI that is changed is judged as one that is created; one that is not keeps nobody from writing
// the rest, and the audit says what is wrong with it.
func TestAStoredRouteOfTheGatewayAPI(t *testing.T) {
	t.Parallel()
	stored := object(t, fmt.Sprintf(toNobody, "", 80))
	for name, tc := range map[string]struct {
		request Request
		verdict Verdict
	}{
		"created": {create(stored), Refused},
		"labelled": {Request{Operation: Update, Old: stored, Object: object(t, fmt.Sprintf(toNobody, ", labels: {a: b}", 80)), Name: "r",
			Namespace: Namespace{Name: "payments"}}, Allowed},
		"changed": {Request{Operation: Update, Old: stored, Object: object(t, fmt.Sprintf(toNobody, "", 81)), Name: "r", Namespace: Namespace{Name: "payments"}}, Refused},
		"audited": {Request{Operation: Audit, Object: stored, Name: "r", Namespace: Namespace{Name: "payments"}}, Refused},
	} {
		r := newReviewer()
		outcome, err := r.Review(t.Context(), tc.request)
		require.NoError(t, err)
		assert.Equal(t, tc.verdict, outcome.Verdict, "%s %v", name, outcome.Findings)
		assert.Equal(t, tc.verdict == Refused, outcome.Waits(), "%s: its entry may have been applied just before", name)
	}
}

// TestValuesOfRoutesThatProxiesRejectAreRefused, of either API.
func TestValuesOfRoutesThatProxiesRejectAreRefused(t *testing.T) {
	t.Parallel()
	for want, manifest := range map[string]string{
		"bad-value spec.rules[0].filters[0].urlRewrite.path.replaceFullPath": `{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: r, namespace: payments}, spec: {parentRefs: [{group: networking.istio.io, kind: ServiceEntry, name: api.example.com}],
			rules: [{filters: [{urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: "/a\nb"}}}], backendRefs: [{name: local, port: 80}]}]}}`,
		"bad-value spec.http[0].rewrite.uri": `{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: r, namespace: payments}, spec: {hosts: [local], http: [{rewrite: {uri: "/a\nb"}, route: [{destination: {host: local}}]}]}}`,
	} {
		outcome, err := newReviewer().Review(t.Context(), create(object(t, manifest)))
		require.NoError(t, err)
		assert.Equal(t, []string{want}, codes(outcome))
	}
}
