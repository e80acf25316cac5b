package review

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// TestWhatARouteMayNotFindIsTold: subsets that no rule has, ports that no entry has, and entries that a gateway's own pods may not see.
func TestWhatARouteMayNotFindIsTold(t *testing.T) {
	t.Parallel()
	view := egresstest.NewCluster()
	view.Known[1].ExportTo = []string{"."}
	view.Known[2].ExportTo = []string{".", "web"}
	view.Rules = []*egress.Rule{{Namespace: egresstest.Namespace, Host: "api.example.com", Subsets: []any{map[string]any{"name": "all"}}}}
	view.Bindings = []*egress.Binding{{Namespace: egresstest.Namespace, Name: "in", Selector: map[string]string{"istio": "ingressgateway"}}}
	for spec, want := range map[string]string{
		`{hosts: [api.example.com], http: [{route: [{destination: {host: api.example.com, subset: v1}}]}]}`:                                                                           `spec.http[0].route[0].destination: api.example.com has no subset "v1"`,
		`{hosts: [grpc.example.com], http: [{route: [{destination: {host: grpc.example.com, subset: v1}}]}]}`:                                                                         `spec.http[0].route[0].destination: grpc.example.com has no subset "v1"`,
		`{hosts: [api.example.com], http: [{route: [{destination: {host: api.example.com, subset: all}}]}]}`:                                                                          "",
		`{hosts: [api.example.com], http: [{route: [{destination: {host: api.example.com, port: {number: 8081}}}]}]}`:                                                                 "ServiceEntry payments/api.example.com has no port 8081 of api.example.com",
		`{hosts: [misspelt.test], http: [{route: [{destination: {host: misspelt.test}}]}]}`:                                                                                           "spec.http[0].route[0].destination: no ServiceEntry or Service names misspelt.test, and such calls fail until one does",
		`{hosts: [new.test], gateways: [in], http: [{route: [{destination: {host: new.test}}]}]}`:                                                                                     "",
		`{hosts: [local], http: [{route: [{destination: {host: local, subset: v1}}]}]}`:                                                                                               "",
		`{hosts: [two.example.com], gateways: [in], http: [{route: [{destination: {host: two.example.com}}]}]}`:                                                                       "only where exportTo of ServiceEntry payments/two.example.com names their namespace",
		`{hosts: [api.example.com], gateways: [in], http: [{route: [{destination: {host: api.example.com}}]}]}`:                                                                       "would call api.example.com directly",
		`{hosts: [grpc.example.com], http: [{rewrite: {authority: new.test}, route: [{destination: {host: local}}]}]}`:                                                                "",
		`{hosts: [grpc.example.com], exportTo: [web, docs], http: [{route: [{destination: {host: grpc.example.com}, headers: {request: {set: {host: "grpc.example.com:50051"}}}}]}]}`: "do not see ServiceEntry payments/grpc.example.com",
		`{hosts: [grpc.example.com], http: [{route: [{destination: {host: grpc.example.com}, headers: {request: {set: {host: "grpc.example.com:50051"}}}}]}]}`:                        "do not see ServiceEntry payments/grpc.example.com",
		`{hosts: [grpc.example.com], exportTo: [web, "."], http: [{route: [{destination: {host: grpc.example.com}, headers: {request: {set: {host: "grpc.example.com:50051"}}}}]}]}`:  "",
	} {
		r := &Reviewer{Mesh: egresstest.Mesh(), View: view, Policies: &policies{}}
		outcome, err := r.Review(t.Context(), stored(t, r, create(routes(t, spec))))
		require.NoError(t, err)
		assert.Empty(t, codes(outcome), spec)
		told := strings.Join(outcome.Changes, "\n")
		if assert.Contains(t, told, want, spec); want == "" {
			assert.NotContains(t, told, "subset", spec)
			assert.NotContains(t, told, "do not see", spec)
			assert.NotContains(t, told, "has no port", spec)
			assert.NotContains(t, told, "no ServiceEntry or Service", spec)
		}
		assert.Equal(t, strings.Contains(spec, "two.example.com"), strings.Contains(told, "exportTo of"), spec)
	}
}

// TestHTTPRoutesOfHostsWithoutHTTPAreTold, where no host of theirs has such a port, and no other.
func TestHTTPRoutesOfHostsWithoutHTTPAreTold(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string]bool{
		`{hosts: [tls.example.com], http: [{timeout: 10s, route: [{destination: {host: tls.example.com}}]}]}`:                          true,
		`{hosts: [tls.example.com, api.example.com], http: [{timeout: 10s, route: [{destination: {host: local}}]}]}`:                   false,
		`{hosts: [api.example.com], http: [{timeout: 10s, route: [{destination: {host: api.example.com}}]}]}`:                          false,
		`{hosts: [local], http: [{route: [{destination: {host: local}}]}]}`:                                                            false,
		`{hosts: [new.test], http: [{route: [{destination: {host: local}}]}]}`:                                                         false,
		`{hosts: [tls.example.com], tls: [{match: [{sniHosts: [tls.example.com]}], route: [{destination: {host: tls.example.com}}]}]}`: false,
		`{hosts: [tls.example.com], gateways: [in], http: [{route: [{destination: {host: local}}]}]}`:                                  false,
	} {
		r := newReviewer()
		outcome, err := r.Review(t.Context(), stored(t, r, create(routes(t, spec))))
		require.NoError(t, err)
		assert.Equal(t, want, strings.Contains(strings.Join(outcome.Changes, "\n"), "spec.http[0]: no port of tls.example.com is HTTP"), "%s: %v", spec, outcome.Changes)
	}
}

// TestOfIdleRoutesItIsSaidOnceWhy: not beside it, too, that HTTP to their TLS port would leave in clear.
func TestOfIdleRoutesItIsSaidOnceWhy(t *testing.T) {
	t.Parallel()
	const spec = `{hosts: [tls.example.com], http: [{timeout: 10s, route: [{destination: {host: tls.example.com, port: {number: 443}}}]}]}`
	mesh, view := egresstest.MutualTLS(), egresstest.NewCluster()
	view.Mesh = mesh
	for _, entry := range view.Known {
		entry.Transport = egress.MutualTLS
	}
	r := &Reviewer{Mesh: mesh, View: view, Policies: &policies{}}
	req := stored(t, r, create(routes(t, spec)))
	outcome, err := r.Review(t.Context(), req)
	require.NoError(t, err)
	assert.Empty(t, codes(outcome))
	require.EqualValues(t, hop.Nowhere, egress.Destinations(req.Object)[0].Port())
	said := strings.Join(outcome.Changes, "\n")
	assert.Contains(t, said, "no port of tls.example.com is HTTP")
	assert.NotContains(t, said, "would leave in clear")
}

// TestAHostThatTheMeshServesItselfIsTold, where a Gateway names it, but one of the egress gateway's own.
func TestAHostThatTheMeshServesItselfIsTold(t *testing.T) {
	t.Parallel()
	for selector, servers := range map[string]map[string]bool{
		"ingressgateway": {"shop.example.com": true, "./Shop.example.com.": true, "web/shop.example.com": true, "*.example.com": false, "*": false, "www.example.com": false},
		"egressgateway":  {"shop.example.com": false},
	} {
		for server, told := range servers {
			binding := egress.ReadBinding(routes(t, fmt.Sprintf("{selector: {istio: %s}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [%q]}]}", selector, server)))
			r := newReviewer()
			binding.Namespace = "web"
			r.View = &egresstest.Cluster{Bindings: []*egress.Binding{binding}, Namespaces: map[string]map[string]string{"web": nil}}
			outcome, err := r.Review(t.Context(), stored(t, r, create(entry(t, `{hosts: [a.example.com, shop.example.com], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]}`))))
			require.NoError(t, err)
			assert.Equal(t, told, strings.Contains(strings.Join(outcome.Changes, "\n"), "spec.hosts[1]: Gateway "), "%s %s", selector, server)
		}
	}
}

// TestTheMeshesOwnIngressIsRefused by the word of the platform, or of the namespace itself: others could keep anybody out by it.
func TestTheMeshesOwnIngressIsRefused(t *testing.T) {
	t.Parallel()
	for namespace, want := range map[string]Verdict{"istio-ingress": Refused, egresstest.Namespace: Refused, "web": Allowed} {
		binding := egress.ReadBinding(routes(t, "{selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [shop.example.com]}]}"))
		binding.Namespace = namespace
		r := newReviewer()
		r.View = &egresstest.Cluster{Bindings: []*egress.Binding{binding}, Namespaces: map[string]map[string]string{"web": nil, egresstest.Namespace: nil}}
		outcome, err := r.Review(t.Context(), stored(t, r, create(entry(t, `{hosts: [shop.example.com], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]}`))))
		require.NoError(t, err)
		assert.Equal(t, want, outcome.Verdict, namespace)
	}
}
