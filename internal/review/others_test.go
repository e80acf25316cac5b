package review

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// warned are the codes and fields of what authors are warned of.
func warned(outcome *Outcome) (out []string) {
	for _, finding := range outcome.Of(Warned) {
		out = append(out, finding.Code+" "+finding.Field)
	}
	return out
}

// besideApp returns a reviewer by a transport, in whose cluster app is governed, and has a rule where one is given.
func besideApp(t *testing.T, transport egress.Transport, spec string) (*Reviewer, *egresstest.Cluster) {
	t.Helper()
	view := egresstest.NewCluster()
	if view.Mesh = egresstest.Mesh(); transport == egress.MutualTLS {
		view = egresstest.NewMutualCluster()
	}
	view.Namespaces = map[string]map[string]string{"app": nil, "payments": nil}
	if spec != "" {
		view.Rules = append(view.Rules, ruleOf(t, view.Mesh, "app", spec))
	}
	return &Reviewer{Mesh: view.Mesh, View: view, Policies: &policies{}}, view
}

func ruleOf(t *testing.T, mesh *egress.Mesh, namespace, spec string) *egress.Rule {
	t.Helper()
	object := destinationRule(t, spec)
	object.SetNamespace(namespace)
	out := mesh.ReadRule(object)
	out.InForce = hop.RuleInForce(object)
	return out
}

// TestAnEntryIsStoredWhateverRulesOthersWroteBefore, and its author told of those by which their calls are not made as they say.
func TestAnEntryIsStoredWhateverRulesOthersWroteBefore(t *testing.T) {
	t.Parallel()
	const simple = "{host: new.test, trafficPolicy: {tls: {mode: SIMPLE}}}"
	for name, tc := range map[string]struct {
		rule, exportTo string
		prepare        func(view *egresstest.Cluster)
		want, says     string
	}{
		"encrypts":         {rule: simple, want: codeRuleConflict, says: "DestinationRule app/x encrypts calls of port 80"},
		"exported by name": {rule: simple, exportTo: "[app]", want: codeRuleConflict},
		"as the exit does": {rule: simple, prepare: func(view *egresstest.Cluster) {
			view.Rules = append(view.Rules, ruleOf(t, view.Mesh, "payments", simple))
		}},
		"the mesh's own TLS":       {rule: "{host: new.test, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}", want: "tls-mode", says: "DestinationRule app/x: spec.trafficPolicy.tls.mode"},
		"proxy protocol":           {rule: "{host: new.test, trafficPolicy: {proxyProtocol: {version: V1}}}", want: "rule-proxy-protocol"},
		"tls of a subset":          {rule: "{host: new.test, subsets: [{name: v1, trafficPolicy: {tls: {mode: SIMPLE}}}]}", want: "subset-policy"},
		"labels of a subset":       {rule: "{host: new.test, subsets: [{name: v1, labels: {v: v1}}]}", want: "subset-labels"},
		"a wildcard":               {rule: `{host: "*.test", trafficPolicy: {tls: {mode: SIMPLE}}}`, want: "wildcard-rule", says: `DestinationRule app/x with host "*.test" covers host "new.test"`},
		"a wildcard of every host": {rule: `{host: "*", trafficPolicy: {outlierDetection: {consecutive5xxErrors: 3}}}`, want: "wildcard-rule"},
		"lost at the exit":         {rule: "{host: new.test, trafficPolicy: {outlierDetection: {consecutive5xxErrors: 3}}}", want: codeRuleConflict, says: "does not call new.test by it, port 80"},
		"nothing of a gateway's":   {rule: "{host: new.test, trafficPolicy: {connectionPool: {tcp: {maxConnections: 9}}}}"},
		"its own namespace's":      {rule: simple, exportTo: `["."]`},
		"exported to others":       {rule: simple, exportTo: `[web]`},
		"of whoever has its own":   {rule: "{host: new.test, subsets: [{name: v1, labels: {v: v1}}]}", prepare: func(view *egresstest.Cluster) { own(view, "app") }},
		"of who is not governed":   {rule: simple, prepare: func(view *egresstest.Cluster) { delete(view.Namespaces, "app") }},
	} {
		for _, transport := range egress.Transports() {
			t.Run(name+" by "+string(transport), func(t *testing.T) {
				t.Parallel()
				r, view := besideApp(t, transport, tc.rule)
				if tc.prepare != nil {
					tc.prepare(view)
				}
				spec := "{hosts: [new.test], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}], exportTo: " + orAll(tc.exportTo) + "}"
				outcome, err := reviewed(t, r, create(entry(t, spec)))
				require.NoError(t, err)
				assert.Equal(t, Allowed, outcome.Verdict, outcome.Message())
				if tc.want == "" {
					assert.Empty(t, warned(outcome))
					return
				}
				require.Equal(t, []string{tc.want + " spec.hosts[0]"}, warned(outcome))
				assert.Contains(t, outcome.Of(Warned)[0].Message, `namespace "app"`)
				assert.Contains(t, outcome.Of(Warned)[0].Message, tc.says)
				assert.NotEmpty(t, outcome.Of(Warned)[0].Fix)
			})
		}
	}
}

func orAll(exportTo string) string {
	if exportTo == "" {
		return `["*"]`
	}
	return exportTo
}

// own has a namespace have an entry of new.test.
func own(view *egresstest.Cluster, namespace string) {
	out := egresstest.Sealed("new.test", egress.Port{Number: 80, Name: "http", Protocol: "HTTP"})
	out.Namespace, out.ExportTo, out.Transport = namespace, []string{"."}, view.Mesh.Gateways[0].Transport
	view.Known = append(view.Known, out)
}

// TestAnEntryIsStoredWhateverRoutesOthersWroteBefore: they would be refused after it, as those of its own namespace are that came before.
func TestAnEntryIsStoredWhateverRoutesOthersWroteBefore(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		of     egress.Mapping
		astray bool
		want   string
	}{
		"another host":     {astray: true, want: "other-host"},
		"another SNI":      {of: egress.Mapping{Host: "new.test", Needs: egress.NeedsBySNI}, want: "other-host"},
		"no port":          {of: egress.Mapping{Host: "new.test", Needs: egress.NeedsSeveral}, want: "other-host"},
		"one of two":       {of: egress.Mapping{Host: "new.test", Port: 8080, Needs: egress.NeedsSeveral}, want: "port-mapping"},
		"a port of TLS":    {of: egress.Mapping{Host: "new.test", Port: 443, Needs: egress.NeedsTLS}, want: "port-mapping"},
		"a port of nobody": {of: egress.Mapping{Host: "new.test", Port: 9443, Needs: egress.NeedsTLS}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, view := besideApp(t, egress.Plain, "")
			seen := []*egress.Seen{{Namespace: "app", Name: "routes"}}
			if view.Maps = map[egress.Mapping][]*egress.Seen{tc.of: seen}; tc.astray {
				view.Maps, view.Strays = nil, map[string][]*egress.Seen{"new.test": seen}
			}
			const spec = `{hosts: [new.test], resolution: DNS, exportTo: ["*"], ports: [{number: 80, name: http, protocol: HTTP}, {number: 8080, name: alt, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]}`
			req := stored(t, r, create(entry(t, spec)))
			outcome, err := r.Review(t.Context(), req)
			require.NoError(t, err)
			assert.Equal(t, Allowed, outcome.Verdict, outcome.Message())
			if tc.want == "" {
				assert.Empty(t, warned(outcome))
				return
			}
			require.Equal(t, []string{tc.want + " spec.hosts[0]"}, warned(outcome))
			assert.Contains(t, outcome.Of(Warned)[0].Message, "VirtualService app/routes")

			req.Operation, req.Old = Update, req.Object.DeepCopy()
			outcome, err = r.Review(t.Context(), req)
			require.NoError(t, err)
			assert.Empty(t, warned(outcome), "nothing of it is written anew")
		})
	}
}

// TestThousandsOfRulesAreNoThousandsOfWarnings.
func TestThousandsOfRulesAreNoThousandsOfWarnings(t *testing.T) {
	t.Parallel()
	r, view := besideApp(t, egress.Plain, "")
	for i := range 100 {
		name := fmt.Sprintf("app-%d", i)
		view.Namespaces[name] = nil
		view.Rules = append(view.Rules, ruleOf(t, view.Mesh, name, "{host: new.test, trafficPolicy: {tls: {mode: SIMPLE}}}"))
	}
	outcome, err := reviewed(t, r, create(entry(t, `{hosts: [new.test], resolution: DNS, exportTo: ["*"], ports: [{number: 80, name: http, protocol: HTTP}]}`)))
	require.NoError(t, err)
	assert.Len(t, warned(outcome), MaxReasons)
}

// TestARuleThatCameBeforeTheEntryOfAnother is told of when it is written again, and by the audit.
func TestARuleThatCameBeforeTheEntryOfAnother(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		spec               string
		written, again, by []string
	}{
		"encrypts": {"{host: new.test, trafficPolicy: {tls: {mode: SIMPLE}}}",
			[]string{"rule-conflict spec.trafficPolicy"}, []string{"rule-conflict spec.trafficPolicy"}, []string{"rule-conflict spec.trafficPolicy"}},
		"lost at the exit": {"{host: new.test, trafficPolicy: {outlierDetection: {consecutive5xxErrors: 3}}}",
			nil, []string{"rule-conflict spec.trafficPolicy.outlierDetection"}, []string{"rule-conflict spec.trafficPolicy.outlierDetection"}},
		"alike": {"{host: new.test, trafficPolicy: {connectionPool: {tcp: {maxConnections: 9}}}}", nil, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, view := besideApp(t, egress.Plain, "")
			own(view, "central")
			view.Known[len(view.Known)-1].ExportTo = nil
			req := stored(t, r, create(destinationRule(t, tc.spec)))
			outcome, err := r.Review(t.Context(), req)
			require.NoError(t, err)
			assert.Equal(t, tc.written, codes(outcome))
			assert.Equal(t, tc.by, codes(audited(t, r, req)))

			req.Operation, req.Old = Update, req.Object.DeepCopy()
			require.NoError(t, unstructured.SetNestedField(req.Object.Object, "again", "metadata", "annotations", "example.com/written"))
			outcome, err = r.Review(t.Context(), req)
			require.NoError(t, err)
			assert.Equal(t, Allowed, outcome.Verdict, "what is stored already keeps nobody from writing it")
			assert.Equal(t, tc.again, warned(outcome))
		})
	}
}

// TestWhoHasAnEntryIsToldByItsExitAlone of settings that not all agree on: the audit says nothing of them.
func TestWhoHasAnEntryIsToldByItsExitAlone(t *testing.T) {
	t.Parallel()
	r, view := besideApp(t, egress.Plain, "")
	own(view, "central")
	own(view, "payments")
	req := stored(t, r, create(destinationRule(t, "{host: new.test, trafficPolicy: {outlierDetection: {consecutive5xxErrors: 3}}}")))
	assert.Empty(t, codes(audited(t, r, req)))
}
