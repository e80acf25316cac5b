package routing

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/config"
	"github.com/egress-governor/egress-governor/internal/dryrun"
	"github.com/egress-governor/egress-governor/internal/manifest"
	"github.com/egress-governor/egress-governor/test/proof"
)

// past is what the webhook would refuse in part, and may be stored all the same; the calls of namespace shop are traced.
type past struct {
	applied, stored string
	calls           []string
}

const (
	pastEntry = "{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: api, namespace: shop}, spec: {hosts: [api.example.com], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}, {number: 8080, name: http-b, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]}}"
	pastLocal = "apiVersion: v1\nkind: Service\nmetadata: {name: local, namespace: shop}\nspec: {clusterIP: 10.0.1.5, selector: {app: local}, ports: [{name: http, port: 80}]}\n---\n"
	pastVS    = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: "
)

var pasts = map[string]past{
	"a private route stands before an older public one, but for ports that it has no route for": {pastEntry, pastLocal +
		pastVS + "pub, namespace: web}\nspec: {hosts: [api.example.com], http: [{route: [{destination: {host: local.shop.svc.cluster.local, port: {number: 80}}}]}]}\n---\n" +
		pastVS + "own, namespace: shop}\nspec: {hosts: [api.example.com], exportTo: ['.'], http: [{match: [{port: 80}], route: [{destination: {host: api.example.com, port: {number: 80}}}]}]}",
		[]string{"http://api.example.com", "http://api.example.com:8080", "https://api.example.com"}},
	"the closest wildcard has a host's calls": {"{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: api, namespace: shop}, spec: {hosts: [a.b.example.com], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]}}", pastLocal +
		pastVS + "wide, namespace: shop}\nspec: {hosts: ['*.example.com'], http: [{route: [{destination: {host: nowhere}}]}]}\n---\n" +
		pastVS + "narrow, namespace: shop}\nspec: {hosts: ['*.b.example.com'], http: [{route: [{destination: {host: local}}]}]}",
		[]string{"http://a.b.example.com", "http://c.example.com", "http://c.b.example.com"}},
	"a Sidecar imports for one port": {pastEntry, "{apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: {name: default, namespace: shop}, spec: {egress: [{port: {number: 8080, name: x, protocol: HTTP}, hosts: ['./*']}, {hosts: ['istio-system/*']}]}}",
		[]string{"http://api.example.com", "http://api.example.com:8080"}},
	"a route without a port leads to that of the call": {pastEntry, pastLocal + pastVS + "own, namespace: shop}\nspec: {hosts: [api.example.com], http: [{match: [{authority: {prefix: 'api.example.com:8'}}], route: [{destination: {host: local}}]}, {match: [{authority: {exact: api.example.com}}], route: [{destination: {host: api.example.com, port: {number: 80}}}]}]}",
		[]string{"http://api.example.com", "http://api.example.com:8080"}},
	"raw TCP without an address has every call to its port": {"{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: a, namespace: shop}, spec: {hosts: [a.example.com], resolution: DNS, ports: [{number: 5432, name: tcp, protocol: TCP}]}}",
		"{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: b, namespace: web}, spec: {hosts: [b.example.com], resolution: DNS, ports: [{number: 5432, name: tcp, protocol: TCP}]}}",
		[]string{"tcp://a.example.com:5432", "tcp://b.example.com:5432", "http://c.example.com:5432", "tcp://a.example.com:5433"}},
	"a route of the Gateway API goes by the matches of its rules": {pastEntry, pastLocal + `apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r, namespace: shop}
spec:
  parentRefs: [{group: networking.istio.io, kind: ServiceEntry, name: api}]
  rules:
  - {matches: [{path: {type: PathPrefix, value: /}}], backendRefs: [{group: networking.istio.io, kind: Hostname, name: api.example.com, port: 80, weight: 1}]}
  - {matches: [{path: {type: PathPrefix, value: /}, headers: [{type: Exact, name: x, value: why}]}], backendRefs: [{group: "", kind: Service, name: local, port: 80, weight: 1}]}`,
		[]string{"http://api.example.com"}},
	"a delegate has calls that its root leaves to it": {pastEntry, pastLocal +
		pastVS + "root, namespace: shop}\nspec: {hosts: [api.example.com], http: [{match: [{uri: {prefix: /a}}, {headers: {x: {exact: why}}}], delegate: {name: leaf, namespace: shop}}, {delegate: {name: hidden, namespace: web}}, {route: [{destination: {host: api.example.com, port: {number: 80}}}]}]}\n---\n" +
		pastVS + "hidden, namespace: web}\nspec: {exportTo: ['.'], http: [{route: [{destination: {host: nowhere}}]}]}\n---\n" +
		pastVS + "leaf, namespace: shop}\nspec: {http: [{match: [{uri: {prefix: /a/b}}], route: [{destination: {host: local}}]}]}",
		[]string{"http://api.example.com"}},
}

// TestTraceOfWhatIsStoredPastTheWebhook is where the generator has such calls end, whoever wrote what leads them.
func TestTraceOfWhatIsStoredPastTheWebhook(t *testing.T) {
	configuration, err := config.Installed()
	require.NoError(t, err)
	configuration.Gateways[0].Transport = "MutualTLS"
	mesh, err := configuration.Mesh()
	require.NoError(t, err)
	for name, of := range pasts {
		t.Run(name, func(t *testing.T) {
			session, err := dryrun.New(dryrun.Options{Configuration: configuration, Sending: dryrun.Sending{Time: time.Unix(1e9, 0)}, Namespace: "shop"})
			require.NoError(t, err)
			applied, err := manifest.Parse("applied", []byte(of.applied))
			require.NoError(t, err)
			stored, err := manifest.Parse("stored", []byte(of.stored))
			require.NoError(t, err)
			require.Len(t, stored, 1+strings.Count(of.stored, "---"))
			answers, err := session.Apply(t.Context(), applied, func() {})
			require.NoError(t, err)
			require.True(t, answers[0].Allowed(), answers[0].Message)
			require.NoError(t, session.Store(stored...))
			objects, err := session.Held(nil, "shop", "web")
			require.NoError(t, err)
			s := newSetting(t, &proof.Case{Mesh: map[string]any{"outboundTrafficPolicy": map[string]any{"mode": "ALLOW_ANY"}}}, &proof.Stored{Mesh: mesh, Objects: objects})
			for _, to := range of.calls {
				call := proof.Call{From: "shop", To: to}
				assert.Empty(t, s.untraced(t, call, s.follow(t, call)), to)
			}
		})
	}
}
