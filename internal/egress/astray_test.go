package egress_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/egress"
)

func TestRoutesThatAskForAnotherHost(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string][]string{
		`{hosts: [a.test], http: [{route: [{destination: {host: b.test}}]}]}`:                                                                             nil,
		`{hosts: [a.test], http: [{route: [{destination: {host: a.test}}], mirrors: [{destination: {host: b.test}}]}]}`:                                   {"b.test"},
		`{hosts: [a.test, c.test], http: [{route: [{destination: {host: b.test}}]}]}`:                                                                     {"b.test"},
		`{hosts: [a.test, c.test], http: [{route: [{destination: {host: b.test}, headers: {request: {set: {host: b.test}}}}]}]}`:                          nil,
		`{hosts: [a.test, c.test], http: [{rewrite: {authority: b.test}, route: [{destination: {host: b.test}}]}]}`:                                       nil,
		`{hosts: [a.test, c.test], gateways: [ingress], http: [{route: [{destination: {host: b.test}}]}]}`:                                                nil,
		`{http: [{route: [{destination: {host: b.test}}]}]}`:                                                                                              {"b.test"},
		`{hosts: [a.test], gateways: [mesh, ingress], http: [{route: [{destination: {host: b.test}}]}]}`:                                                  {"b.test"},
		`{hosts: [a.test], http: [{route: [{destination: {host: "*.b.test"}}]}]}`:                                                                         {"*.b.test"},
		`{http: [{route: [{destination: {host: local}}]}]}`:                                                                                               nil,
		`{hosts: [x.wild.test], http: [{route: [{destination: {host: "*.wild.test"}}]}]}`:                                                                 nil,
		`{hosts: [a.test, c.test], http: [{route: [{destination: {host: b.test}, headers: {request: {set: {host: a.at.b.egress-governor.internal}}}}]}]}`: nil,
	} {
		object := &unstructured.Unstructured{}
		require.NoError(t, yaml.Unmarshal([]byte("metadata: {namespace: app}\nspec: "+spec), &object.Object))
		assert.Equal(t, want, egress.Astray(object, mesh()), spec)
	}
}

func TestPortsThatRoutesLeadTo(t *testing.T) {
	t.Parallel()
	b := func(port uint32, needs egress.Need) egress.Mapping {
		return egress.Mapping{Host: "b.test", Port: port, Needs: needs}
	}
	for spec, want := range map[string][]egress.Mapping{
		`{hosts: [b.test], http: [{route: [{destination: {host: b.test}}]}]}`:                                                                                   nil,
		`{hosts: [local], http: [{route: [{destination: {host: local, port: {number: 443}}}]}]}`:                                                                nil,
		`{hosts: [a.test], tls: [{match: [{sniHosts: [a.test]}], route: [{destination: {host: b.test}}]}]}`:                                                     {b(0, egress.NeedsBySNI)},
		`{hosts: [a.test], gateways: [in], tls: [{match: [{sniHosts: [a.test]}], route: [{destination: {host: b.test}}]}]}`:                                     {{Host: "b.test", Needs: egress.NeedsBySNI, OnGateways: true}},
		`{hosts: [a.test], gateways: [in], http: [{mirror: {host: b.test}, route: [{destination: {host: local}}]}]}`:                                            {{Host: "b.test", Needs: egress.NeedsAny, OnGateways: true}},
		`{hosts: [a.test], gateways: [in], http: [{rewrite: {authority: b.test}, route: [{destination: {host: b.test}}]}]}`:                                     nil,
		`{hosts: ["*.b.test"], tls: [{match: [{sniHosts: [a.b.test]}], route: [{destination: {host: "*.b.test"}}]}]}`:                                           nil,
		`{hosts: [b.test], tls: [{match: [{sniHosts: [b.test]}], route: [{destination: {host: b.test, port: {number: 443}}}]}]}`:                                nil,
		`{hosts: [b.test], http: [{match: [{port: 80}], route: [{destination: {host: b.test, port: {number: 443}}}]}]}`:                                         {b(443, egress.NeedsSeveral)},
		`{hosts: [b.test], http: [{match: [{port: 8080}], route: [{destination: {host: b.test, port: {number: 8080}}}]}]}`:                                      nil,
		`{hosts: [b.test], gateways: [out, mesh], http: [{match: [{gateways: [out], port: 80}], route: [{destination: {host: b.test, port: {number: 443}}}]}]}`: {b(443, egress.NeedsTLS), {Host: "b.test", Port: 443, Needs: egress.NeedsSeveral, OnGateways: true}},
		`{hosts: [a.test], http: [{rewrite: {authority: b.test}, route: [{destination: {host: b.test, port: {number: 443}}}]}]}`:                                {b(443, egress.NeedsTLS)},
		`{hosts: [b.test], http: [{route: [{destination: {host: b.test}}], mirror: {host: b.test, port: {number: 443}}}]}`:                                      {b(443, egress.NeedsTLS), b(443, egress.NeedsSeveral)},
		`{hosts: [a.test], http: [{route: [{destination: {host: b.test, port: {number: 80}}}]}]}`:                                                               {b(80, egress.NeedsTLS)},
		`{hosts: [b.test], http: [{route: [{destination: {host: b.test, port: {number: 80}}, headers: {request: {set: {host: "b.test:443"}}}}]}]}`:              {b(80, egress.NeedsTLS)},
		`{hosts: [b.test], http: [{route: [{destination: {host: istio-egressgateway.istio-system.svc.cluster.local, port: {number: 443}}}]}]}`:                  nil,
	} {
		object := &unstructured.Unstructured{}
		require.NoError(t, yaml.Unmarshal([]byte("metadata: {namespace: app}\nspec: "+spec), &object.Object))
		assert.Equal(t, want, egress.Mappings(object, mesh()), spec)
	}
}

// TestWhatRoutesMeanOfPorts, as their author wrote them.
func TestWhatRoutesMeanOfPorts(t *testing.T) {
	t.Parallel()
	another := func(onGateways bool) []egress.Mapping {
		return []egress.Mapping{{Host: "b.test", Port: 8080, Needs: egress.NeedsAnother, OnGateways: onGateways}}
	}
	unsaid, encrypted := []egress.Mapping{{Host: "b.test", Needs: egress.NeedsSeveral}}, []egress.Mapping{{Host: "b.test", Port: 443, Needs: egress.NeedsRule}}
	for spec, want := range map[string][]egress.Mapping{
		`{hosts: [a.test], http: [{route: [{destination: {host: b.test}}]}, {route: [{destination: {host: b.test}, weight: 1}, {destination: {host: a.test}, weight: 1}]}]}`: unsaid,
		`{hosts: [a.test], http: [{route: [{destination: {host: b.test, port: {number: 80}}}]}]}`:                                                                            nil,
		`{hosts: [a.test], http: [{route: [{destination: {host: b.test}, headers: {request: {set: {host: b.test}}}}]}]}`:                                                     nil,
		`{hosts: [b.test], http: [{route: [{destination: {host: b.test}}]}]}`:                                                                                                nil,
		`{hosts: [a.test], http: [{route: [{destination: {host: local}}]}]}`:                                                                                                 nil,
		`{hosts: [a.test], http: [{rewrite: {authority: b.test}, route: [{destination: {host: b.test, port: {number: 8080}}}]}]}`:                                            nil,
		`{hosts: [a.test], http: [{rewrite: {authority: b.test}, mirror: {host: local}, route: [{destination: {host: b.test, port: {number: 8080}}}]}]}`:                     another(false),
		`{hosts: [a.test], http: [{rewrite: {authority: "b.test:80"}, route: [{destination: {host: b.test, port: {number: 8080}}}]}]}`:                                       another(false),
		`{hosts: [a.test], http: [{rewrite: {authority: "b.test:8080"}, mirror: {host: local}, route: [{destination: {host: b.test, port: {number: 8080}}}]}]}`:              nil,
		`{hosts: [a.test], gateways: [in], http: [{rewrite: {authority: b.test}, route: [{destination: {host: b.test, port: {number: 8080}}}]}]}`:                            another(true),
		`{hosts: [b.test], http: [{match: [{port: 80}], route: [{destination: {host: b.test, port: {number: 443}}}]}]}`:                                                      encrypted,
		`{hosts: [b.test], tls: [{match: [{sniHosts: [b.test]}], route: [{destination: {host: b.test, port: {number: 443}}}]}]}`:                                             nil,
	} {
		object := &unstructured.Unstructured{}
		require.NoError(t, yaml.Unmarshal([]byte("metadata: {namespace: app}\nspec: "+spec), &object.Object))
		assert.Equal(t, want, egress.Meant(object, mesh()), spec)
	}
}
