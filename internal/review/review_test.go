package review

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/internal/policy"
)

// policies evaluates to a decision, and keeps what it was asked.
type policies struct {
	decision policy.Decision
	asked    []policy.Review
}

func (p *policies) Evaluate(_ context.Context, review policy.Review) policy.Decision {
	p.asked = append(p.asked, review)
	return p.decision
}

// object reads a manifest as the API server's decoder gives it.
func object(t testing.TB, manifest string) *unstructured.Unstructured {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(manifest))
	require.NoError(t, err)
	out := &unstructured.Unstructured{}
	require.NoError(t, out.UnmarshalJSON(raw))
	return out
}

func entry(t testing.TB, spec string) *unstructured.Unstructured {
	t.Helper()
	return object(t, "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: x, namespace: payments}\nspec: "+spec)
}

func routes(t testing.TB, spec string) *unstructured.Unstructured {
	t.Helper()
	return object(t, "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: x, namespace: payments}\nspec: "+spec)
}

func create(object *unstructured.Unstructured) Request {
	return Request{Operation: Create, Object: object, Name: "x", Namespace: Namespace{Name: "payments"}}
}

// pci is a request from a namespace that leaves through the gateway "pci".
func pci(object *unstructured.Unstructured) Request {
	out := create(object)
	out.Namespace.Labels = map[string]string{"egress": "pci"}
	return out
}

func newReviewer() *Reviewer {
	return &Reviewer{Mesh: egresstest.Mesh(), View: egresstest.NewCluster(), Policies: &policies{}}
}

// stored rewrites a request's object, as admission does before it is reviewed.
func stored(t testing.TB, r *Reviewer, req Request) Request {
	t.Helper()
	out, err := r.Rewrite(req)
	require.NoError(t, err)
	req.Object = out
	return req
}

// codes are the codes and fields of the findings, in their order.
func codes(outcome *Outcome) (out []string) {
	for _, finding := range outcome.Findings {
		out = append(out, finding.Code+" "+finding.Field)
	}
	return out
}

const https = `{hosts: [new.example.com], resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}`

func TestAnUnknownKindIsAnError(t *testing.T) {
	t.Parallel()
	telemetry := object(t, "apiVersion: networking.istio.io/v1\nkind: Telemetry\nmetadata: {name: x, namespace: payments}\nspec: {}")
	_, err := newReviewer().Rewrite(create(telemetry))
	require.ErrorContains(t, err, `kind "Telemetry" is not governed`)
	_, err = newReviewer().Review(t.Context(), create(telemetry))
	require.ErrorContains(t, err, `kind "Telemetry" is not governed`)
}

// TestAMalformedSpecIsRefusedWithItsFix: it is the author's fault, not ours.
func TestAMalformedSpecIsRefusedWithItsFix(t *testing.T) {
	t.Parallel()
	for _, spec := range []string{`7`, `[]`, `{hosts: 7}`, `{hosts: [7]}`, `{ports: {}}`, `{hosts: [a.b], ports: [{number: x}]}`} {
		t.Run(spec, func(t *testing.T) {
			t.Parallel()
			_, err := newReviewer().Rewrite(create(entry(t, spec)))
			var refusals Refusals
			require.ErrorAs(t, err, &refusals)
			outcome, err := newReviewer().Review(t.Context(), create(entry(t, spec)))
			require.NoError(t, err)
			assert.Equal(t, Refused, outcome.Verdict)
			assert.Equal(t, []string{"undecodable spec"}, codes(outcome))
			assert.NotEmpty(t, outcome.Findings[0].Fix)
		})
	}
}

func TestOutcomesAreSortedAndSayWhoFoundWhat(t *testing.T) {
	t.Parallel()
	said := policy.Decision{
		Failed:  []policy.Failure{{Policy: "broken", Err: errors.New("boom")}},
		Denied:  []policy.Violation{{Policy: "hosts", Library: "allowed-hosts", Code: "host-not-allowed", Field: "spec.hosts[0]", Message: "no", Fix: "yes"}},
		Warned:  []policy.Violation{{Policy: "soft", Message: "careful"}},
		Audited: []policy.Violation{{Policy: "quiet", Code: "noted", Message: "hm."}},
	}
	r := newReviewer()
	r.Policies = &policies{decision: said}
	outcome, err := r.Review(t.Context(), create(entry(t, https)))
	require.NoError(t, err)
	assert.Equal(t, Failed, outcome.Verdict)
	var lines []string
	for _, finding := range outcome.Findings {
		lines = append(lines, string(finding.Effect)+" "+finding.Line())
	}
	assert.Equal(t, []string{
		"failed [evaluation-failed] broken: policy could not be evaluated: boom; Fix: this is not your object's fault; ask the platform team",
		"denied [host-not-allowed] hosts: spec.hosts[0]: no (allowed-hosts). Fix: yes",
		"refused [not-sealed] egress-governor: spec.endpoints: the entry was changed after it was sealed (not-sealed). Fix: apply it again; if this stays, another mutating webhook rewrites ServiceEntries",
		"warned [] soft: careful.",
		"audited [noted] quiet: hm.",
	}, lines)
}

// TestEachPartIsReadOnce: an object is unsealed once and its old form once, and a host is asked for once however many
// routes lead there.
func TestEachPartIsReadOnce(t *testing.T) {
	t.Parallel()
	r := newReviewer()
	view := r.View.(*egresstest.Cluster)
	spec := `{hosts: [api.example.com], http: [`
	for range 100 {
		spec += `{route: [{destination: {host: api.example.com}}, {destination: {host: local}}]},`
	}
	req := stored(t, r, create(routes(t, spec+`]}`)))
	view.Asked = 0
	_, err := r.Review(t.Context(), req)
	require.NoError(t, err)
	assert.Less(t, view.Asked, 40, "200 destinations of two hosts")

	unsealed := 0
	row := kinds["ServiceEntry"]
	counted := row
	counted.intent = func(s *subject, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
		unsealed++
		return row.intent(s, object)
	}
	req = stored(t, r, create(entry(t, https)))
	req.Operation, req.Old = Update, req.Object.DeepCopy()
	s, err := r.subjectOf(counted, req)
	require.NoError(t, err)
	_, refusals := counted.examine(s)
	require.Empty(t, refusals)
	s.document(egress.Facts{})
	s.kind.changes(s)
	assert.Equal(t, 2, unsealed, "the object and the old one")
}

// TestARouteLeavesByTheGatewayOfItsNamespace, although an older entry of the host is sealed to another.
func TestARouteLeavesByTheGatewayOfItsNamespace(t *testing.T) {
	t.Parallel()
	const spec = `{hosts: [api.example.com], http: [{route: [{destination: {host: api.example.com}}]}]}`
	view := egresstest.NewCluster()
	r := &Reviewer{Mesh: egresstest.TwoGateways(), View: view, Policies: &policies{}}
	host := func(req Request) string {
		return egress.Destinations(stored(t, r, req).Object)[0].Host()
	}
	assert.Equal(t, egresstest.GatewayService, host(create(routes(t, spec))))
	assert.Equal(t, "api.example.com", host(pci(routes(t, spec))), "pci has no exit of the host: the route stays")

	own := *egresstest.Sealed("api.example.com", egress.Port{Number: 80, Name: "http", Protocol: "HTTP"})
	own.Name, own.Gateway, own.Created = "own", "pci", time.Unix(5000, 0)
	view.Known = append(view.Known, &own)
	assert.Equal(t, egresstest.PCIService, host(pci(routes(t, spec))))
	assert.Equal(t, egresstest.GatewayService, host(create(routes(t, spec))))

	own.Namespace, own.ExportTo = "cards", []string{"."}
	assert.Equal(t, "api.example.com", host(pci(routes(t, spec))), "another namespace's private entry is not its exit")

	outcome, err := r.Review(t.Context(), pci(routes(t, spec)))
	require.NoError(t, err)
	assert.Equal(t, "default", outcome.Facts.Routes[0].Gateway, "what the sidecar goes by is the older public entry")
	assert.Equal(t, "pci", outcome.Facts.Gateway)
}

// TestWhoOwnsAHost: gateways of one namespace share its definition, another namespace has one of its own.
func TestWhoOwnsAHost(t *testing.T) {
	t.Parallel()
	const otherwise = `{hosts: [api.example.com],
		resolution: STATIC,
		endpoints: [{address: 203.0.113.7}],
		ports: [{number: 443, name: tls, protocol: TLS}]}`
	for name, tc := range map[string]struct {
		service string
		want    []string
	}{
		"in one namespace":     {egresstest.PCIService, []string{"host-conflict spec.hosts[0]"}},
		"in another namespace": {"pci-egress.elsewhere.svc.cluster.local", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mesh := egresstest.TwoGateways()
			mesh.Gateways[0].Service = tc.service
			view := egresstest.NewCluster()
			for _, known := range view.Known {
				// As entries are stored where there are several gateways.
				known.ExportTo = []string{"."}
			}
			r := &Reviewer{Mesh: mesh, View: view, Policies: &policies{}}
			outcome, err := r.Review(t.Context(), stored(t, r, pci(entry(t, otherwise))))
			require.NoError(t, err)
			assert.Equal(t, tc.want, codes(outcome))
		})
	}
}

// TestWhatIsNotSealedIsJudgedAsItStands: where nothing is carried to a gateway an annotation is a tenant's word without
// effect.
func TestWhatIsNotSealedIsJudgedAsItStands(t *testing.T) {
	t.Parallel()
	nowhere := egresstest.TwoGateways()
	nowhere.Gateways = nowhere.Gateways[:1]
	leave := egresstest.Mesh()
	leave.Seal = false
	evaluating := egresstest.Mesh()
	evaluating.Seal, evaluating.Inject = false, false
	for name, mesh := range map[string]*egress.Mesh{"no gateway": nowhere, "by routes": leave, "evaluating only": evaluating} {
		for form, annotation := range map[string]string{
			"today's": `[{"was": [{"address": "good.test"}], "now": [{"address": "evil.test"}], "paths": ["spec.endpoints"]}]`,
			"v1":      `{"gateway": "evil.test", "endpoints": [{"address": "good.test"}]}`,
		} {
			t.Run(name+", "+form, func(t *testing.T) {
				t.Parallel()
				asked := &policies{}
				r := &Reviewer{Mesh: mesh, View: egresstest.NewCluster(), Policies: asked}
				in := entry(t, `{hosts: [good.test],
					resolution: DNS,
					endpoints: [{address: evil.test}],
					ports: [{number: 443, name: tls, protocol: TLS}]}`)
				in.SetAnnotations(map[string]string{hop.IntentAnnotation: annotation})
				_, err := r.Review(t.Context(), create(in))
				require.NoError(t, err)
				evaluated, _, err := unstructured.NestedSlice(asked.asked[0].Document, "object", "spec", "endpoints")
				require.NoError(t, err)
				assert.Equal(t, []any{map[string]any{"address": "evil.test"}}, evaluated)
				in.SetAnnotations(map[string]string{hop.IntentAnnotation: "{"})
				outcome, err := r.Review(t.Context(), create(in))
				require.NoError(t, err)
				assert.Equal(t, []string{"intent-annotation metadata.annotations[egress-governor.io/intent]"}, codes(outcome))
			})
		}
	}
}

func TestChangesAreToldOnce(t *testing.T) {
	t.Parallel()
	r := newReviewer()
	req := stored(t, r, create(entry(t, `{hosts: [new.example.com], ports: [{number: 443, name: tls, protocol: TLS}]}`)))
	outcome, err := r.Review(t.Context(), req)
	require.NoError(t, err)
	assert.Equal(t, []string{
		`spec.endpoints: calls to this entry's hosts now leave through egress gateway "default"`,
		"spec.resolution: NONE lets the client choose the address; the egress gateway asks DNS for the host instead",
	}, outcome.Changes)
	req.Operation, req.Old = Update, req.Object.DeepCopy()
	outcome, err = r.Review(t.Context(), req)
	require.NoError(t, err)
	assert.Empty(t, outcome.Changes)

	injected := stored(t, r, create(routes(t, `{hosts: [api.example.com],
		http: [{route: [{destination: {host: api.example.com}}]}]}`)))
	outcome, err = r.Review(t.Context(), injected)
	require.NoError(t, err)
	assert.Equal(t, []string{`spec.http[0].route[0].destination: calls to api.example.com now leave through egress gateway "default"`}, outcome.Changes)
}

// TestEveryCodeIsOfOneStyle, so that a metric, a log and an answer mean the same by it.
func TestEveryCodeIsOfOneStyle(t *testing.T) {
	t.Parallel()
	bad := entry(t, `{hosts: ["*.example.com", 192.0.2.1, a_b], addresses: [192.0.2.0/24], resolution: DYNAMIC_DNS, workloadSelector: {labels: {a: b}},
		endpoints: [{address: "unix:///x"}, {address: `+egresstest.GatewayService+`, ports: {y: 1}}], ports: [{number: 1, name: a, protocol: TCP}, {number: 1, name: a, protocol: TLS}]}`)
	outcome, err := newReviewer().Review(t.Context(), create(bad))
	require.NoError(t, err)
	require.Greater(t, len(outcome.Findings), 7)
	seen := []string{}
	for _, finding := range outcome.Findings {
		assert.Regexp(t, `^[a-z]+(-[a-z]+)*$`, finding.Code)
		assert.Regexp(t, `^([A-Z][a-z]+)+$`, finding.Reason())
		assert.NotEmpty(t, finding.Field)
		assert.NotEmpty(t, finding.Fix)
		seen = append(seen, finding.Code)
	}
	slices.Sort(seen)
	assert.Contains(t, seen, "raw-protocol")
}

// TestARouteThatLeavesDirectlyIsTold, each time it is stored.
func TestARouteThatLeavesDirectlyIsTold(t *testing.T) {
	t.Parallel()
	central := egresstest.Sealed("status.example.com", egress.Port{Number: 80, Name: "http", Protocol: "HTTP"})
	central.Namespace, central.Name, central.Gateway = "istio-system", "status", ""
	r := &Reviewer{Mesh: egresstest.Mesh(), View: &egresstest.Cluster{Known: []*egress.Entry{central}}, Policies: &policies{}}
	outcome, err := r.Review(t.Context(), stored(t, r, create(routes(t, `{hosts: [status.example.com], http: [{route: [{destination: {host: status.example.com}}]}]}`))))
	require.NoError(t, err)
	require.Len(t, outcome.Changes, 2)
	assert.Contains(t, outcome.Changes[0], "spec.exportTo: ", "the host is another namespace's")
	assert.Contains(t, outcome.Changes[1], "leave directly, past every egress gateway: ServiceEntry istio-system/status")
	assert.Equal(t, egress.ViaDirect, outcome.Facts.Routes[0].Via)
}

// TestANamespaceWithoutAGateway has no external entries: they would be stored as they are, and lead straight out.
func TestANamespaceWithoutAGateway(t *testing.T) {
	t.Parallel()
	nowhere := egresstest.TwoGateways()
	nowhere.Gateways = nowhere.Gateways[:1]
	r := &Reviewer{Mesh: nowhere, View: egresstest.NewCluster(), Policies: &policies{}}
	outcome, err := r.Review(t.Context(), create(entry(t, https)))
	require.NoError(t, err)
	assert.Equal(t, []string{"no-gateway metadata.namespace"}, codes(outcome))
	nowhere.Seal, nowhere.Inject = false, false
	outcome, err = r.Review(t.Context(), create(entry(t, https)))
	require.NoError(t, err)
	assert.Empty(t, codes(outcome), "Leave only evaluates")
}

// TestReplicasMayKnowOfAnEntryAtDifferentMoments: a route that one rewrote without it is what the other would make of it
// soon enough.
func TestReplicasMayKnowOfAnEntryAtDifferentMoments(t *testing.T) {
	t.Parallel()
	const pair = `{hosts: [api.example.com], http: [{route: [{destination: {host: two.example.com, port: {number: 80}}}]}]}`
	late := &Reviewer{Mesh: egresstest.Mesh(), View: &egresstest.Cluster{}, Policies: &policies{}}
	req := stored(t, late, create(routes(t, pair)))
	assert.Equal(t, "two.example.com", egress.Destinations(req.Object)[0].Host())
	assert.NotEmpty(t, listOf(req.Object, "exportTo"), "it does not know whose the host is")
	outcome, err := newReviewer().Review(t.Context(), req)
	require.NoError(t, err)
	assert.Empty(t, codes(outcome))
	leaves := map[string]bool{}
	for _, host := range outcome.Facts.Hosts {
		leaves[host.Canonical] = leaves[host.Canonical] || host.Leaves
	}
	assert.True(t, leaves["two.example.com"] && leaves["api.example.com"], "both are judged")
	assert.False(t, outcome.Facts.AllClients, "what is stored is for its own namespace")
	assert.Equal(t, []string{"payments"}, outcome.Facts.Clients)
}
