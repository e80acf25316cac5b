package review

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
)

// TestAnIngressHasAsManyHostsAsItLikes: nothing of a VirtualService that is nobody's egress depends on its hosts. One that is, or may be,
// is bounded.
func TestAnIngressHasAsManyHostsAsItLikes(t *testing.T) {
	t.Parallel()
	const inMesh = "http: [{route: [{destination: {host: local}}]}]"
	many := list(maxRouteHosts+1, "hN.test")
	for name, tc := range map[string]struct {
		spec string
		code string
	}{
		"of an ingress": {"{hosts: " + many + ", gateways: [ingress], " + inMesh + "}", ""},
		"whose hosts times destinations are many": {"{hosts: " + many + ", gateways: [ingress], http: " + list(100, "{route: [{destination: {host: local}}]}") + "}", ""},
		"of many wildcards":                       {"{hosts: " + list(300, `"*.hN.test"`) + ", gateways: [ingress], " + inMesh + "}", ""},
		"to workloads that an entry has":          {"{hosts: " + many + ", gateways: [ingress], http: [{route: [{destination: {host: vm.test}}]}]}", ""},
		"of TLS":                                  {"{hosts: " + many + ", gateways: [ingress], tls: " + list(100, "{match: [{sniHosts: [hN.test]}], route: [{destination: {host: local}}]}") + "}", ""},
		"of a Gateway that is not there":          {"{hosts: " + many + ", gateways: [later], " + inMesh + "}", ""},
		"of one that is not there, for a host that the gateway is called for": {"{hosts: [api.example.com, " + many[1:] + ", gateways: [later], " + inMesh + "}", "too-large"},
		"of one that is not there, below such a wildcard":                     {"{hosts: [a.wild.test, " + many[1:] + ", gateways: [later], " + inMesh + "}", "too-large"},
		"of one that is not there, of many wildcards":                         {"{hosts: " + list(300, `"*.hN.test"`) + ", gateways: [later], " + inMesh + "}", "too-large"},
		"of sidecars":                        {"{hosts: " + many + ", " + inMesh + "}", "too-large"},
		"of sidecars, too":                   {"{hosts: " + many + ", gateways: [ingress, mesh], " + inMesh + "}", "too-large"},
		"of sidecars in a route":             {"{hosts: " + many + ", gateways: [ingress], http: [{match: [{gateways: [mesh]}], route: [{destination: {host: local}}]}]}", "too-large"},
		"on the egress gateway":              {"{hosts: " + many + ", gateways: [egress], " + inMesh + "}", "too-large"},
		"on the egress gateway in a route":   {"{hosts: " + many + ", gateways: [ingress], http: [{match: [{gateways: [egress]}], route: [{destination: {host: local}}]}]}", "too-large"},
		"to a host outside":                  {"{hosts: " + many + ", gateways: [ingress], http: [{route: [{destination: {host: local}}, {destination: {host: api.example.com}}]}]}", "too-large"},
		"whose copies leave":                 {"{hosts: " + many + ", gateways: [ingress], http: [{route: [{destination: {host: local}}], mirror: {host: api.example.com}}]}", "too-large"},
		"to a host that nobody has":          {"{hosts: " + many + ", gateways: [ingress], http: [{route: [{destination: {host: new.example.com}}]}]}", "too-large"},
		"to another name of a host outside":  {"{hosts: " + many + ", gateways: [ingress], http: [{route: [{destination: {host: alias}}]}]}", "too-large"},
		"to the egress gateway":              {"{hosts: " + many + ", gateways: [ingress], http: [{route: [{destination: {host: " + egresstest.GatewayService + "}}]}]}", "too-large"},
		"of more values than anybody reads":  {"{hosts: " + list(maxPairs, "hN.test") + ", gateways: [ingress], " + inMesh + "}", "too-large"},
		"of routes that are too much anyway": {"{hosts: " + many + ", gateways: [ingress], tls: [{match: [{sniHosts: " + list(300, "hN.test") + "}], route: " + list(300, "{destination: {host: local}}") + "}]}", "too-large"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked := &policies{}
			r := &Reviewer{Mesh: egresstest.Mesh(), View: ingressed(), Policies: asked}
			req := create(routes(t, tc.spec))
			form, err := r.Rewrite(req)
			outcome, reviewed := r.Review(t.Context(), req)
			require.NoError(t, reviewed)
			if tc.code != "" {
				require.Error(t, err)
				require.Equal(t, Refused, outcome.Verdict)
				assert.Equal(t, tc.code, outcome.Findings[0].Code)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, req.Object.Object, form.Object, "it is stored as it is")
			assert.Equal(t, Allowed, outcome.Verdict, "%v", codes(outcome))
			assert.Len(t, asked.asked, 1, "policies are asked")
		})
	}
}

// ingressed is a cluster with an ingress and an egress gateway's Gateway, a workload that an entry has, and another name of a host outside.
func ingressed() *egresstest.Cluster {
	out := egresstest.NewCluster()
	out.Bindings = []*egress.Binding{
		{Namespace: "payments", Name: "ingress", Selector: map[string]string{"istio": "ingress"}},
		{Namespace: "payments", Name: "egress", Selector: map[string]string{"istio": "egressgateway"}},
	}
	workload := egresstest.Sealed("vm.test", egress.Port{Number: 80, Name: "http", Protocol: "HTTP"})
	workload.External, workload.Gateway = false, ""
	out.Known = append(out.Known, workload)
	out.Services["alias.payments.svc.cluster.local"] = &egress.Service{ExternalName: true, Alias: "api.example.com"}
	return out
}

// TestWhatAnIngressAsksForIsJudged: an authority that its routes set is shown to policies, however many hosts it has.
func TestWhatAnIngressAsksForIsJudged(t *testing.T) {
	t.Parallel()
	asked := &policies{}
	r := &Reviewer{Mesh: egresstest.Mesh(), View: ingressed(), Policies: asked}
	_, err := r.Review(t.Context(), create(routes(t, "{hosts: "+list(maxRouteHosts+1, "hN.test")+", gateways: [ingress], http: [{rewrite: {authority: evil.test}, route: [{destination: {host: local}}]}]}")))
	require.NoError(t, err)
	require.Len(t, asked.asked, 1)
	assert.Contains(t, fmt.Sprint(asked.asked[0].Document), "evil.test")
}

// TestWorkOnAnIngressIsThatOfItsFields, not of its hosts times its routes.
func TestWorkOnAnIngressIsThatOfItsFields(t *testing.T) {
	t.Parallel()
	view := ingressed()
	r := &Reviewer{Mesh: egresstest.Mesh(), View: view, Policies: &policies{}}
	object := routes(t, "{hosts: "+list(10_000, "hN.test")+", gateways: [ingress], http: "+list(4_000, "{route: [{destination: {host: local}}]}")+"}")
	outcome, err := r.Review(t.Context(), stored(t, r, create(object)))
	require.NoError(t, err)
	assert.Equal(t, Allowed, outcome.Verdict)
	assert.Less(t, view.Asked, 100)
	object.SetAnnotations(map[string]string{"team": "a"})
	s, err := r.subject(create(object))
	require.NoError(t, err)
	assert.Len(t, s.resolved(s.Object).Hosts, 1)
	assert.Len(t, egress.Hosts(s.Object), 10_000, "the object is as it was")
}

// TestARouteIsBoundedByItself: each destination of a route is looked at with all that it matches and sets.
func TestARouteIsBoundedByItself(t *testing.T) {
	t.Parallel()
	headers := make([]string, 300)
	for i := range headers {
		headers[i] = fmt.Sprintf("h%d: x", i)
	}
	destinations := list(300, "{destination: {host: local}}")
	for at, spec := range map[string]string{
		"spec.tls[1]":  "{hosts: [a.test], tls: [{}, {match: [{sniHosts: " + list(300, "hN.test") + "}], route: " + destinations + "}]}",
		"spec.http[0]": "{hosts: [a.test], http: [{headers: {request: {set: {" + strings.Join(headers, ", ") + "}}}, route: " + destinations + "}]}",
		"spec.tcp[0]":  "{hosts: [a.test], tcp: [{match: " + list(300, "{port: N}") + ", route: " + destinations + "}]}",
	} {
		outcome, err := newReviewer().Review(t.Context(), create(routes(t, spec)))
		require.NoError(t, err)
		assert.Equal(t, []string{"too-large " + at}, codes(outcome))
	}
	assert.Empty(t, boundRoutes(routes(t, "{hosts: [a.test], http: [{match: "+list(100, "{port: N}")+", route: "+list(100, "{destination: {host: local}}")+"}]}")))
}
