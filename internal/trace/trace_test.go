package trace_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/config"
	"github.com/egress-governor/egress-governor/internal/dryrun"
	"github.com/egress-governor/egress-governor/internal/manifest"
	"github.com/egress-governor/egress-governor/internal/policy"
	"github.com/egress-governor/egress-governor/internal/trace"
)

// stage is a cluster to which manifests are applied.
type stage struct {
	t             *testing.T
	configuration *config.Configuration
	session       *dryrun.Session
	open          bool
}

// standing are the policies in force without any that is stored, which all stages share.
var standing = sync.OnceValues(func() (*policy.Engine, error) {
	configuration, err := config.Installed()
	if err != nil {
		return nil, err
	}
	return dryrun.Standards(configuration)
})

func newStage(t *testing.T, change string) *stage {
	t.Helper()
	configuration, err := config.Installed()
	require.NoError(t, err)
	if change != "" {
		configuration.Gateways[0].Transport = change
	}
	standards, err := standing()
	require.NoError(t, err)
	session, err := dryrun.New(dryrun.Options{Configuration: configuration, Standards: standards, Sending: dryrun.Sending{Time: time.Unix(1e9, 0)}, Namespace: "shop"})
	require.NoError(t, err)
	return &stage{t: t, configuration: configuration, session: session}
}

func (s *stage) parsed(text string) []manifest.Object {
	s.t.Helper()
	out, err := manifest.Parse("x.yaml", []byte(text))
	require.NoError(s.t, err)
	return out
}

// apply has the webhook store what it is given.
func (s *stage) apply(texts ...string) *stage {
	s.t.Helper()
	for _, text := range texts {
		answers, err := s.session.Apply(s.t.Context(), s.parsed(text), func() {})
		require.NoError(s.t, err)
		for _, answer := range answers {
			require.True(s.t, answer.Allowed(), answer.Message)
		}
	}
	return s
}

// store takes objects for stored past the webhook.
func (s *stage) store(text string) *stage {
	s.t.Helper()
	require.NoError(s.t, s.session.Store(s.parsed(text)...))
	return s
}

// of returns what becomes of a call, but for objects that are left out.
func (s *stage) of(from, to string, leftOut func(*unstructured.Unstructured) bool) trace.Outcome {
	s.t.Helper()
	objects, err := s.session.Held(nil, "shop", "web")
	require.NoError(s.t, err)
	mesh, err := s.configuration.Mesh()
	require.NoError(s.t, err)
	var kept []*unstructured.Unstructured
	for _, object := range objects {
		if leftOut == nil || !leftOut(object) {
			kept = append(kept, object)
		}
	}
	cluster, err := trace.New(mesh, trace.Settings{RegistryOnly: !s.open}, kept)
	require.NoError(s.t, err)
	call, err := trace.ParseCall(from, to)
	require.NoError(s.t, err)
	return cluster.Of(call)
}

func entry(namespace, name, spec string) string {
	return "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {namespace: " + namespace + ", name: " + name + "}\nspec: {resolution: DNS, " + spec + "}"
}

const (
	http = "ports: [{number: 80, name: http, protocol: HTTP}]"
	both = "ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]"
	api  = "hosts: [api.example.com], "
	own  = `exportTo: ["."], `
)

func routes(spec string) string {
	return "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {namespace: shop, name: api}\nspec: {hosts: [api.example.com], " + spec + "}"
}

// TestWhatIsToChangeHelps: every reason for which calls do not leave, and what it says is to change, done.
func TestWhatIsToChangeHelps(t *testing.T) {
	t.Parallel()
	const call, tls = "http://api.example.com", "https://api.example.com"
	for name, tc := range map[string]struct {
		transport    string
		before       []string
		past         string
		from, to     string
		open         bool
		ends         trace.Ends
		why, change  string
		then         string
		changedTo    string
		changedAsWho string
	}{
		"nobody names it": {
			to: call, ends: trace.Blocked, why: "no ServiceEntry names api.example.com, and the mesh drops such calls",
			change: "write a ServiceEntry for api.example.com with port 80 in namespace shop", then: entry("shop", "api", api+http),
		},
		"nobody names it, and the mesh is open": {
			to: call, open: true, ends: trace.Straight, why: "lets such calls leave straight", change: "write a ServiceEntry for api.example.com", then: entry("shop", "api", api+http),
		},
		"a subset has none of its endpoints": {
			before: []string{
				"apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {namespace: shop, name: api}\nspec: {host: api.example.com, subsets: [{name: v1, labels: {version: v1}}]}",
				routes("http: [{route: [{destination: {host: api.example.com, subset: v1}}]}]"), entry("web", "api", api+http),
			},
			to: call, ends: trace.Blocked, why: `leads to subset "v1" of api.example.com, which by the labels in DestinationRule shop/api has none of the endpoints of ServiceEntry web/api`,
			change: "leave the subset out of the route", then: routes("http: [{route: [{destination: {host: api.example.com}}]}]"),
		},
		"it is another's": {
			before: []string{entry("web", "api", api+own+http)}, to: call, ends: trace.Blocked, why: "ServiceEntry web/api is not exported to shop",
			change: "ask its owners to export theirs", then: entry("web", "api", api+`exportTo: [".", shop], `+http),
		},
		"the port is missing": {
			before: []string{entry("shop", "api", api+http)}, to: tls, ends: trace.Blocked, why: "ServiceEntry shop/api has no port 443",
			change: "write port 443 into it", then: entry("shop", "api", api+both),
		},
		"the port has another protocol, and the mesh is open": {
			before: []string{entry("shop", "api", api+"ports: [{number: 443, name: https, protocol: HTTP}]")}, to: tls, open: true, ends: trace.Straight,
			why:    "port 443 of api.example.com is HTTP in ServiceEntry shop/api, which is not what is called, and the mesh lets such calls leave straight",
			change: "correct the protocol of the port; config.unregistered: Block, or the mesh's REGISTRY_ONLY,", then: entry("shop", "api", api+"ports: [{number: 443, name: https, protocol: TLS}]"),
		},
		"the port is missing, and the mesh is open": {
			before: []string{entry("shop", "api", api+http)}, to: tls, open: true, ends: trace.Straight, why: "has no port 443, and the mesh lets such calls leave straight",
			change: "or into a ServiceEntry in namespace shop; config.unregistered: Block", then: entry("shop", "api", api+both),
		},
		"a Sidecar leaves it out": {
			before: []string{entry("shop", "api", api+http)}, to: call, ends: trace.Blocked, why: "Sidecar shop/default does not import ServiceEntry shop/api",
			past:   "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {namespace: shop, name: default}\nspec: {egress: [{hosts: [istio-system/*]}]}",
			change: "import it in the Sidecar's", then: "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {namespace: shop, name: default}\nspec: {egress: [{hosts: [istio-system/*, ./*]}]}",
		},
		"its service account is not let in": {
			transport: "MutualTLS", ends: trace.Blocked, to: tls, why: `does not let shop/default in to port 443 of api.example.com`,
			before:       []string{strings.Replace(entry("shop", "api", api+both), "name: api}", "name: api, annotations: {egress-governor.io/service-accounts: batch}}", 1), "apiVersion: v1\nkind: ServiceAccount\nmetadata: {namespace: shop, name: batch}"},
			change:       "call as batch",
			changedAsWho: "shop/batch",
		},
		"its service account is not let in by HTTP": {
			transport: "MutualTLS", ends: trace.Blocked, to: call, why: `no ServiceEntry lets your service account call port 80`,
			before:       []string{strings.Replace(entry("shop", "api", api+both), "name: api}", "name: api, annotations: {egress-governor.io/service-accounts: batch}}", 1), "apiVersion: v1\nkind: ServiceAccount\nmetadata: {namespace: shop, name: batch}"},
			change:       "call as batch",
			changedAsWho: "shop/batch",
		},
		"it was stored before the webhook": {
			past: entry("shop", "api", api+http), to: call, ends: trace.Straight, why: "sealed to no egress gateway", change: "apply it by kubectl apply --server-side", then: entry("shop", "api", api+http),
		},
		"by another protocol": {
			before: []string{entry("shop", "api", api+"ports: [{number: 443, name: http, protocol: HTTP}]")}, to: tls, ends: trace.Blocked,
			why: "port 443 of api.example.com is HTTP", change: "call it by its protocol", changedTo: "http://api.example.com:443",
		},
		"a route leads to nobody's host": {
			before: []string{entry("shop", "api", api+http)}, past: routes("http: [{route: [{destination: {host: other.example.com, port: {number: 80}}}]}]"), to: call, ends: trace.Blocked,
			why: "leads to other.example.com:80, which the client's sidecar does not know", change: "write a ServiceEntry for other.example.com that shop sees",
			then: entry("shop", "other", "hosts: [other.example.com], "+http),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, tc.transport).apply(tc.before...)
			s.open = tc.open
			if tc.past != "" {
				s.store(tc.past)
			}
			from := "shop"
			out := s.of(from, tc.to, nil)
			require.Len(t, out.Ways, 1)
			assert.False(t, out.Leaves())
			assert.Equal(t, tc.ends, out.Ways[0].Ends)
			assert.Contains(t, out.Ways[0].Why, tc.why)
			assert.Contains(t, out.Ways[0].Change, tc.change)
			if tc.then != "" {
				s.apply(tc.then)
			}
			if tc.changedTo != "" {
				tc.to = tc.changedTo
			}
			if tc.changedAsWho != "" {
				from = tc.changedAsWho
			}
			out = s.of(from, tc.to, nil)
			assert.True(t, out.Leaves(), out)
		})
	}
}

// TestARuleThatIsNotSealed has a client speak TLS that no gateway takes, by either transport; of several rules that are exported alike the oldest with
// a policy counts, and of others the newest.
func TestARuleThatIsNotSealed(t *testing.T) {
	t.Parallel()
	rule := func(name, policy string) string {
		return "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {namespace: shop, name: " + name + "}\nspec: {host: api.example.com, trafficPolicy: {" + policy + "}}"
	}
	of := func(s *stage) trace.Outcome {
		return s.of("shop", "http://api.example.com", func(object *unstructured.Unstructured) bool {
			switch object.GetName() {
			case "second":
				require.NoError(t, unstructured.SetNestedMap(object.Object, map[string]any{"mode": "SIMPLE"}, "spec", "trafficPolicy", "tls"))
			case "first":
				object.SetCreationTimestamp(metav1.Unix(1, 0))
			}
			return false
		})
	}
	for _, transport := range []string{"Plain", "MutualTLS"} {
		s := newStage(t, transport).apply(entry("shop", "api", api+http)).store(rule("second", "tls: {mode: SIMPLE}"))
		out := of(s)
		require.Len(t, out.Ways, 1)
		assert.Equal(t, trace.Blocked, out.Ways[0].Ends, transport)
		assert.Contains(t, out.Ways[0].Why, "DestinationRule shop/second has the client's proxy encrypt them, which egress gateway")
		assert.Contains(t, out.Ways[0].Change, "take tls out of DestinationRule shop/second")
		s.store(rule("first", "connectionPool: {tcp: {maxConnections: 1}}"))
		assert.True(t, of(s).Leaves(), transport)
		s.store(strings.Replace(rule("first", "connectionPool: {tcp: {maxConnections: 1}}"), "spec: {", `spec: {exportTo: ["."], `, 1))
		assert.False(t, of(s).Leaves(), transport)
	}
}

// TestATLSDoorTakesWhateverIsSaid within the mesh's mutual TLS: HTTP too that a route leads there, which goes on in clear.
func TestATLSDoorTakesWhateverIsSaid(t *testing.T) {
	t.Parallel()
	s := newStage(t, "MutualTLS").apply(entry("shop", "api", api+both), routes("http: [{route: [{destination: {host: api.example.com, port: {number: 80}}}]}]"))
	out := s.of("shop", "http://api.example.com", func(object *unstructured.Unstructured) bool {
		if object.GetKind() == "VirtualService" && object.GetNamespace() == "shop" {
			led := map[string]any{"destination": map[string]any{"host": "api.example.com", "port": map[string]any{"number": int64(443)}}}
			require.NoError(t, unstructured.SetNestedSlice(object.Object, []any{map[string]any{"route": []any{led}}}, "spec", "http"))
		}
		return false
	})
	require.Len(t, out.Ways, 1)
	assert.Equal(t, trace.AtGateway, out.Ways[0].Ends, out.Ways[0].Why)
	assert.Equal(t, []string{"api.example.com:443"}, out.Ways[0].To)
	assert.False(t, out.Ways[0].Encrypted)
}

const conditioned = `
status: {conditions: [{type: ExitReady, status: "False", reason: REASON, message: "host \"api.example.com\" is not allowed"}]}`

// TestAnExitThatIsNotReady: what its entry says of it is told.
func TestAnExitThatIsNotReady(t *testing.T) {
	t.Parallel()
	ofExits := func(object *unstructured.Unstructured) bool {
		return object.GetAnnotations()["egress-governor.io/host"] != ""
	}
	for _, transport := range []string{"Plain", "MutualTLS"} {
		for _, url := range []string{"http://api.example.com", "https://api.example.com"} {
			s := newStage(t, transport).apply(entry("shop", "api", api+both))
			out := s.of("shop", url, ofExits)
			require.Len(t, out.Ways, 1)
			assert.Equal(t, trace.Blocked, out.Ways[0].Ends)
			assert.Equal(t, "default", out.Ways[0].Gateway)
			assert.Contains(t, out.Ways[0].Change, "wait for the controller")

			said := func(reason string) trace.Way {
				objects, err := s.session.Held(nil)
				require.NoError(t, err)
				status := s.parsed("apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {namespace: shop, name: api}" + strings.Replace(conditioned, "REASON", reason, 1))[0]
				for _, object := range objects {
					if object.GetNamespace() == "shop" && object.GetKind() == "ServiceEntry" {
						object = object.DeepCopy()
						object.Object["status"] = status.Object["status"]
						require.NoError(t, s.session.Store(manifest.Object{Unstructured: object}))
					}
				}
				out := s.of("shop", url, nil)
				if reason != "Suspended" {
					out = s.of("shop", url, ofExits)
				}
				require.Len(t, out.Ways, 1)
				return out.Ways[0]
			}
			failed := said("Conflict")
			assert.Contains(t, failed.Change, "condition ExitReady: Conflict: host")
			suspended := said("Suspended")
			assert.Equal(t, trace.Blocked, suspended.Ends)
			assert.Contains(t, suspended.Why, `ServiceEntry shop/api is suspended: host "api.example.com" is not allowed`)
			assert.Contains(t, suspended.Change, "have ServiceEntry shop/api comply")
			assert.True(t, suspended.Ready.Suspended)
		}
	}
}

// TestEveryWayIsNamed, and which calls go it.
func TestEveryWayIsNamed(t *testing.T) {
	t.Parallel()
	local := "apiVersion: v1\nkind: Service\nmetadata: {namespace: shop, name: local}\nspec: {ports: [{name: http, port: 80}]}"
	s := newStage(t, "").apply(local, entry("shop", "api", api+http), routes(`http: [
{match: [{uri: {prefix: /old}}], redirect: {uri: /new}},
{match: [{headers: {x: {exact: "1"}}}], route: [{destination: {host: local}}]},
{route: [{destination: {host: api.example.com}, weight: 90}, {destination: {host: local}, weight: 10}], mirrors: [{destination: {host: local}}]}]`))
	type seen struct {
		ends  trace.Ends
		when  string
		copy  bool
		route string
	}
	ways := func(url string) (out []seen) {
		for _, way := range s.of("shop", url, nil).Ways {
			out = append(out, seen{way.Ends, strings.Join(way.When, "; "), way.Copy, way.Route.Field})
		}
		return out
	}
	all := []seen{
		{trace.Blocked, `path prefix "/old"`, false, "spec.http[0].redirect"},
		{trace.InMesh, `header x exact "1"`, false, "spec.http[1].route[0].destination"},
		{trace.AtGateway, "90 of 100 calls", false, "spec.http[2].route[0].destination"},
		{trace.InMesh, "10 of 100 calls", false, "spec.http[2].route[1].destination"},
		{trace.InMesh, "", true, "spec.http[2].mirrors[0].destination"},
	}
	assert.Equal(t, all, ways("http://api.example.com"))
	assert.Equal(t, all[1:], ways("http://api.example.com/other"), "a URL with a path says which routes are not for it")
	assert.Equal(t, []seen{{trace.Blocked, "", false, "spec.http[0].redirect"}}, ways("http://api.example.com/old/page"))
	assert.False(t, s.of("shop", "http://api.example.com", nil).Leaves())
}

// TestWhoIsLetInIsSaid, and that by transport Plain nobody asks.
func TestWhoIsLetInIsSaid(t *testing.T) {
	t.Parallel()
	for transport, want := range map[string]map[string]string{
		"Plain":     {own + both: "whoever reaches the gateway, which by transport Plain does not know who calls"},
		"MutualTLS": {own + both: "all service accounts of shop", both: "every identity of the mesh"},
	} {
		for spec, who := range want {
			out := newStage(t, transport).apply(entry("shop", "api", api+spec)).of("shop", "https://api.example.com", nil)
			require.True(t, out.Leaves())
			assert.Equal(t, who, out.Ways[0].Admits)
			assert.Equal(t, []string{"api.example.com:443"}, out.Ways[0].To)
			assert.Equal(t, "ServiceEntry", out.Ways[0].Entry.Kind)
			assert.Equal(t, "istio-system", out.Ways[0].Exit.Namespace)
		}
	}
}

// TestALabelThatIsMissingIsNoEmptyOne: a route for pods with an empty label is for none without it.
func TestALabelThatIsMissingIsNoEmptyOne(t *testing.T) {
	t.Parallel()
	s := newStage(t, "").apply(entry("shop", "api", api+own+http),
		routes(`http: [{match: [{sourceLabels: {tier: ""}}], redirect: {uri: /}}, {route: [{destination: {host: api.example.com}}]}]`))
	assert.True(t, s.of("shop", "http://api.example.com", nil).Leaves())
}

func TestWhatIsNoCall(t *testing.T) {
	t.Parallel()
	for from, to := range map[string]string{
		"": "http://a.test", "a/b/c": "http://a.test", "a": "ftp://a.test", "b": "a.test", "c": "grpc://a.test", "d": "tcp://a.test", "e": "http://a.test:70000", "f": "http://:80", "g": "http://a.test:0",
	} {
		_, err := trace.ParseCall(from, to)
		require.Error(t, err, "%s %s", from, to)
	}
	call, err := trace.ParseCall("shop", "https://API.Example.COM./x")
	require.NoError(t, err)
	assert.Equal(t, "https://api.example.com/x", call.String())
	assert.Equal(t, "shop/default", call.Caller())
}

// TestAnAddressIsThatOfTheEntryThatHasIt, at the ports that this has; what to write for another is what would be accepted.
func TestAnAddressIsThatOfTheEntryThatHasIt(t *testing.T) {
	t.Parallel()
	const relay = `{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: relay, namespace: shop}, spec: {hosts: [relay.example.com], exportTo: ["."],
  addresses: [203.0.113.25/32], resolution: STATIC, endpoints: [{address: 203.0.113.25}], ports: [{number: 2525, name: tcp, protocol: TCP}]}}`
	s := newStage(t, "MutualTLS").apply(relay)
	for _, to := range []string{"tcp://203.0.113.25:2525", "https://203.0.113.25:2525", "http://203.0.113.25:2525", "tcp://relay.example.com:2525"} {
		out := s.of("shop", to, nil)
		require.Len(t, out.Ways, 1, to)
		assert.Equal(t, trace.AtGateway, out.Ways[0].Ends, to)
		assert.Equal(t, []string{"203.0.113.25:2525"}, out.Ways[0].To, to)
	}
	for _, to := range []string{"tcp://203.0.113.25:25", "tcp://203.0.113.26:2525"} {
		for open, ends := range map[bool]trace.Ends{true: trace.Straight, false: trace.Blocked} {
			s.open = open
			out := s.of("shop", to, nil)
			require.Len(t, out.Ways, 1, to)
			assert.Equal(t, ends, out.Ways[0].Ends, to)
			assert.Contains(t, out.Ways[0].Change, "in spec.addresses and spec.endpoints", to)
		}
	}
}
