package review

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/policy"
	shipped "github.com/egress-governor/egress-governor/policies"
)

// marketingOnly is a reviewer with one policy, which selects team marketing and lets it call nothing but ok.test.
func marketingOnly(t *testing.T) *Reviewer {
	t.Helper()
	engine, err := policy.NewEngine(shipped.Library())
	require.NoError(t, err)
	require.NoError(t, engine.Set(&v1alpha1.EgressPolicy{ObjectMeta: metav1.ObjectMeta{Name: "marketing-hosts"}, Spec: v1alpha1.EgressPolicySpec{
		Policy: "allowed-hosts", Parameters: &apiextensionsv1.JSON{Raw: []byte(`{"hosts": ["ok.test"]}`)},
		Match: v1alpha1.Match{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": "marketing"}}},
	}}))
	view := egresstest.NewCluster()
	view.Namespaces = map[string]map[string]string{
		"ads": nil, "marketing": {"team": "marketing"}, "payments": {"team": "b"}, "posters": {"team": "marketing"},
	}
	view.Bindings = []*egress.Binding{{Namespace: "payments", Name: "some", Selector: map[string]string{"istio": "ingressgateway"}}}
	return &Reviewer{Mesh: egresstest.Mesh(), View: view, Policies: engine}
}

// TestAPolicyCountsForWhomAnEntryIsExportedTo: a namespace that may not call a host does not call it by another's entry.
func TestAPolicyCountsForWhomAnEntryIsExportedTo(t *testing.T) {
	t.Parallel()
	const rest = ` resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}`
	const fix = `Fix: set exportTo: ["."], or ask the platform team to add it to this EgressPolicy, or use one of: ok.test`
	for spec, want := range map[string]string{
		`{hosts: [evil.test],` + rest:                                    `marketing-hosts: spec.hosts[0]: host "evil.test" is not allowed in namespace "marketing", to which this entry is exported (and 1 more) (allowed-hosts).` + "\n" + fix,
		`{hosts: [evil.test], exportTo: ["*"],` + rest:                   `marketing-hosts: spec.hosts[0]: host "evil.test" is not allowed in namespace "marketing", to which this entry is exported (and 1 more) (allowed-hosts).` + "\n" + fix,
		`{hosts: [evil.test], exportTo: [posters, ads, nowhere],` + rest: `marketing-hosts: spec.hosts[0]: host "evil.test" is not allowed in namespace "posters", to which this entry is exported (allowed-hosts).` + "\n" + fix,
		`{hosts: [evil.test], exportTo: [posters, "*", "."],` + rest:     `marketing-hosts: spec.hosts[0]: host "evil.test" is not allowed in namespace "marketing", to which this entry is exported (and 1 more) (allowed-hosts).` + "\n" + fix,
		`{hosts: [evil.test], exportTo: [".", ads],` + rest:              "",
		`{hosts: [evil.test], exportTo: ["."],` + rest:                   "",
		`{hosts: [evil.test], exportTo: ["~"],` + rest:                   "",
		`{hosts: [ok.test],` + rest:                                      "",
	} {
		r := marketingOnly(t)
		outcome, err := r.Review(t.Context(), stored(t, r, create(entry(t, spec))))
		require.NoError(t, err)
		if want == "" {
			assert.Empty(t, outcome.Findings, spec)
			continue
		}
		require.Len(t, outcome.Findings, 1, spec)
		assert.Equal(t, Denied, outcome.Verdict, spec)
		assert.Equal(t, want, outcome.Findings[0].Sentence(), spec)
	}
}

// TestWhatCannotBeSealedReachesNobody: what its clients' policies say of it is not said before it can be stored.
func TestWhatCannotBeSealedReachesNobody(t *testing.T) {
	t.Parallel()
	r := marketingOnly(t)
	outcome, err := r.Review(t.Context(), create(entry(t, `{hosts: [evil.test], resolution: DNS, ports: [{number: 5432, name: db, protocol: TCP}]}`)))
	require.NoError(t, err)
	assert.Equal(t, []string{"raw-protocol spec.ports[0].protocol"}, codes(outcome))
}

// TestAPolicyOfOnesOwnSaysNothingOfExports, whoever else it selects.
func TestAPolicyOfOnesOwnSaysNothingOfExports(t *testing.T) {
	t.Parallel()
	r := marketingOnly(t)
	req := create(entry(t, https))
	req.Namespace.Labels = map[string]string{"team": "marketing"}
	outcome, err := r.Review(t.Context(), stored(t, r, req))
	require.NoError(t, err)
	require.Len(t, outcome.Findings, 1)
	assert.Equal(t, `host "new.example.com" is not allowed in namespace "payments"`, outcome.Findings[0].Message)
	assert.NotContains(t, outcome.Findings[0].Fix, "exportTo")
}

// TestAPolicyCountsForWhoseCallsRoutesDecide, where sidecars apply them.
func TestAPolicyCountsForWhoseCallsRoutesDecide(t *testing.T) {
	t.Parallel()
	const rest = ` hosts: [api.example.com], http: [{route: [{destination: {host: api.example.com}}]}]}`
	for spec, want := range map[string]string{
		`{` + rest:                  `host "api.example.com" is not allowed in namespace "marketing", to which these routes are exported (and 1 more)`,
		`{exportTo: ["."],` + rest:  "",
		`{gateways: [some],` + rest: "",
	} {
		r := marketingOnly(t)
		outcome, err := r.Review(t.Context(), stored(t, r, create(routes(t, spec))))
		require.NoError(t, err)
		if want == "" {
			assert.Empty(t, outcome.Findings, spec)
			continue
		}
		require.Len(t, outcome.Findings, 1, spec)
		assert.Equal(t, want, outcome.Findings[0].Message, spec)
	}
}

// TestWhatIsStoredIsWhatIsExported: routes for a host of others are narrowed to their own namespace, and asked about so.
func TestWhatIsStoredIsWhatIsExported(t *testing.T) {
	t.Parallel()
	r := marketingOnly(t)
	req := stored(t, r, create(routes(t, `{hosts: [nobodys.test], http: [{route: [{destination: {host: nobodys.test}}]}]}`)))
	require.NotEmpty(t, listOf(req.Object, "exportTo"))
	outcome, err := r.Review(t.Context(), req)
	require.NoError(t, err)
	assert.Empty(t, outcome.Findings)
	assert.Equal(t, []string{"payments"}, outcome.Facts.Clients)
	assert.False(t, outcome.Facts.AllClients)
}

// TestASentenceNamesItsClient once, and says all the same for which it is where the policy does not.
func TestASentenceNamesItsClient(t *testing.T) {
	t.Parallel()
	client := policy.Client{Name: "marketing"}
	for message, want := range map[string]string{
		`not allowed in namespace "marketing"`: `not allowed in namespace "marketing", to which this entry is exported`,
		`names no owner`:                       `names no owner, for namespace "marketing", to which this entry is exported`,
		`names no owner.`:                      `names no owner, for namespace "marketing", to which this entry is exported`,
	} {
		assert.Equal(t, want, forClient(message, client, "this entry is exported"))
		assert.Equal(t, message, forClient(message, policy.Client{}, "this entry is exported"))
	}
	assert.Equal(t, `set exportTo: ["."]`, unexported(policy.Violation{Client: client}))
	out := &Outcome{}
	out.add(policy.Decision{Failed: []policy.Failure{{Policy: "p", Client: client, Err: assert.AnError}}}, nil, "this entry is exported")
	assert.Contains(t, out.Findings[0].Message, `for namespace "marketing", to which this entry is exported`)
}

// TestAnExportToThatIsLeftOutIsTold, each time the object is stored otherwise than written.
func TestAnExportToThatIsLeftOutIsTold(t *testing.T) {
	t.Parallel()
	r := marketingOnly(t)
	r.Mesh.OwnNamespace = true
	for name, tc := range map[string]struct {
		req  Request
		want string
	}{
		"an entry": {create(entry(t, https)), "so the entry is seen by its own namespace alone"},
		"routes":   {create(routes(t, `{hosts: [local], http: [{route: [{destination: {host: local}}]}]}`)), "so the routes are for calls of their own namespace alone"},
	} {
		req := stored(t, r, tc.req)
		assert.Equal(t, []any{"."}, listOf(req.Object, "exportTo"), name)
		outcome, err := r.Review(t.Context(), req)
		require.NoError(t, err, name)
		assert.Equal(t, Allowed, outcome.Verdict, "marketing does not see it: %s", name)
		require.NotEmpty(t, outcome.Changes, name)
		assert.Contains(t, strings.Join(outcome.Changes, "\n"), tc.want, name)
		s, err := r.subject(req)
		require.NoError(t, err, name)
		assert.Equal(t, tc.req.Object.Object, s.intent.Object, name)
	}
	r.Mesh.Seal, r.Mesh.Inject = false, false
	for _, written := range []Request{create(entry(t, https)), create(routes(t, `{hosts: [local]}`))} {
		assert.Empty(t, listOf(stored(t, r, written).Object, "exportTo"), "Leave rewrites nothing")
	}
}

// TestRoutesLeadNobodyToAnotherGateway: who leaves by another one is not to apply them, and what is left out is told.
func TestRoutesLeadNobodyToAnotherGateway(t *testing.T) {
	t.Parallel()
	for exportTo, want := range map[string]string{
		"":                          "",
		`exportTo: ["."],`:          "",
		`exportTo: [".", other],`:   "",
		`exportTo: ["*"],`:          "other-gateway spec.exportTo[0]",
		`exportTo: [other, cards],`: "other-gateway spec.exportTo[1]",
	} {
		view := egresstest.NewCluster()
		view.Leaving = map[string]string{"other": "default", "cards": "pci"}
		for _, known := range view.Known {
			known.ExportTo = []string{"."}
		}
		r := &Reviewer{Mesh: egresstest.TwoGateways(), View: view, Policies: &policies{}}
		outcome, err := r.Review(t.Context(), stored(t, r, create(routes(t, `{hosts: [api.example.com], `+exportTo+` http: [{route: [{destination: {host: api.example.com}}]}]}`))))
		require.NoError(t, err, exportTo)
		assert.Equal(t, want, strings.Join(codes(outcome), "; "), exportTo)
		if exportTo == "" {
			assert.Contains(t, strings.Join(outcome.Changes, "\n"), "there are several egress gateways, so the routes are for calls of their own namespace alone")
		}
	}
}

// TestTwoEntriesThatLeaveExportToOut are stored alike, and so joined.
func TestTwoEntriesThatLeaveExportToOut(t *testing.T) {
	t.Parallel()
	r := marketingOnly(t)
	r.Mesh.OwnNamespace = true
	first := egresstest.Sealed("two.test", egress.Port{Number: 80, Name: "http", Protocol: "HTTP"})
	first.ExportTo, first.Resolution = []string{"."}, "DNS"
	r.View.(*egresstest.Cluster).Known = append(r.View.(*egresstest.Cluster).Known, first)
	outcome, err := r.Review(t.Context(), stored(t, r, create(entry(t, `{hosts: [two.test], resolution: DNS, ports: [{number: 8080, name: alt, protocol: HTTP}]}`))))
	require.NoError(t, err)
	assert.NotContains(t, codes(outcome), "split-host spec.hosts[0]")
}
