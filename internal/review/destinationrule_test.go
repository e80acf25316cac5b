package review

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/hop"
)

func destinationRule(t *testing.T, spec string) *unstructured.Unstructured {
	t.Helper()
	out := entry(t, spec)
	out.SetKind("DestinationRule")
	return out
}

const simple = `{host: api.example.com, trafficPolicy: {tls: {mode: SIMPLE}}}`

// TestARuleOfNobodyIsToldOnceItIsWrittenAgain: helm and Argo CD create the rules of a release before its entries.
func TestARuleOfNobodyIsToldOnceItIsWrittenAgain(t *testing.T) {
	t.Parallel()
	for host, told := range map[string]bool{"nobody.example.com": true, "api.example.com": false, "local": false, "*.nobody.example.com": false} {
		r := newReviewer()
		req := stored(t, r, create(destinationRule(t, fmt.Sprintf("{host: %q, trafficPolicy: {connectionPool: {tcp: {maxConnections: 1}}}}", host))))
		for operation, tells := range map[Operation]bool{Create: false, Update: told, Audit: told} {
			req.Operation, req.Old = operation, nil
			if operation == Update {
				req.Old = destinationRule(t, fmt.Sprintf("{host: %q}", host))
			}
			outcome, err := r.Review(t.Context(), req)
			require.NoError(t, err, host)
			assert.Equal(t, tells, strings.Contains(strings.Join(outcome.Changes, "\n"), "spec.host: no ServiceEntry or Service names "+host), "%s: %s", operation, host)
		}
	}
}

// TestARuleIsSealedWithItsHost and left alone with any other.
func TestARuleIsSealedWithItsHost(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		spec   string
		sealed bool
	}{
		"a sealed host":      {simple, true},
		"in another form":    {`{host: API.example.com., trafficPolicy: {tls: {mode: SIMPLE}}}`, true},
		"a host nobody has":  {`{host: nobody.example.com, trafficPolicy: {tls: {mode: SIMPLE}}}`, false},
		"a Service":          {`{host: local, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}, tunnel: {}}}`, false},
		"nothing to replace": {`{host: api.example.com, trafficPolicy: {connectionPool: {tcp: {maxConnections: 1}}}}`, false},
	} {
		r := newReviewer()
		req := stored(t, r, create(destinationRule(t, tc.spec)))
		_, annotated := req.Object.GetAnnotations()[hop.IntentAnnotation]
		assert.Equal(t, tc.sealed, annotated, name)
		outcome, err := r.Review(t.Context(), req)
		require.NoError(t, err, name)
		assert.Empty(t, codes(outcome), name)
		assert.Equal(t, tc.sealed, len(outcome.Changes) > 0, "%s: that its entry comes after it is no news", name)
		require.Len(t, outcome.Facts.Hosts, 1, name)
		assert.False(t, outcome.Facts.Hosts[0].Leaves, name)
		if tc.sealed {
			outcome, err = r.Review(t.Context(), create(destinationRule(t, tc.spec)))
			require.NoError(t, err, name)
			assert.Empty(t, codes(outcome), name+": by a replica that did not know of the entry")
			require.NoError(t, unstructured.SetNestedField(req.Object.Object, "evil.test", "spec", "trafficPolicy", "tls", "sni"))
			require.NoError(t, unstructured.SetNestedField(req.Object.Object, map[string]any{}, "spec", "trafficPolicy", "outlierDetection"))
			outcome, err = r.Review(t.Context(), req)
			require.NoError(t, err, name)
			assert.Equal(t, []string{"not-sealed spec.trafficPolicy"}, codes(outcome), name+": changed by another webhook")
		}
	}
}

// TestRulesAndEntriesInEitherOrder: what cannot be is refused to whoever comes second, in a sentence that names the other.
func TestRulesAndEntriesInEitherOrder(t *testing.T) {
	t.Parallel()
	const ours = `{hosts: [api.example.com], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]}`
	sealed := func(namespace string) *egress.Entry {
		out := egresstest.Sealed("api.example.com", egress.Port{Number: 80, Name: "http", Protocol: "HTTP"})
		out.Namespace, out.Name, out.Created = namespace, "theirs", time.Unix(1, 0)
		return out
	}
	for name, tc := range map[string]struct {
		rule string
		// others have the host too; they alone where alone is set.
		others, alone     bool
		onRule, onEntry   string
		theirRule, wanted string
	}{
		"alone":                     {rule: simple},
		"others in clear":           {rule: simple, others: true, onRule: "rule-conflict spec.trafficPolicy", onEntry: "host-conflict spec.hosts[0]"},
		"others encrypt too":        {rule: simple, others: true, theirRule: simple},
		"others encrypt else":       {rule: simple, others: true, theirRule: `{host: api.example.com, trafficPolicy: {tls: {mode: SIMPLE, sni: x}}}`, onRule: "rule-conflict spec.trafficPolicy", onEntry: "host-conflict spec.hosts[0]"},
		"pools are one's own":       {rule: `{host: api.example.com, trafficPolicy: {connectionPool: {tcp: {maxConnections: 1}}}}`, others: true},
		"ejection is told":          {rule: `{host: api.example.com, trafficPolicy: {outlierDetection: {consecutive5xxErrors: 1}}}`, others: true},
		"subsets":                   {rule: `{host: api.example.com, subsets: [{name: v1, labels: {v: a}}]}`, onRule: "subset-labels spec.subsets[0].labels", onEntry: "subset-labels spec.hosts[0]"},
		"a credential":              {rule: `{host: api.example.com, trafficPolicy: {tls: {mode: SIMPLE, credentialName: "kubernetes://x"}}}`, onRule: "tls-credential spec.trafficPolicy.tls.credentialName", onEntry: "tls-credential spec.hosts[0]"},
		"another's certificate":     {rule: `{host: api.example.com, trafficPolicy: {tls: {mode: SIMPLE, credentialName: x}}}`, others: true, theirRule: `{host: api.example.com, trafficPolicy: {tls: {mode: SIMPLE, credentialName: x}}}`, onRule: "rule-conflict spec.trafficPolicy", onEntry: "host-conflict spec.hosts[0]"},
		"a wildcard":                {rule: `{host: "*.example.com", trafficPolicy: {tls: {mode: SIMPLE}}}`, onRule: "wildcard-rule spec.host", onEntry: "wildcard-rule spec.hosts[0]"},
		"a mild wildcard":           {rule: `{host: "*.com", trafficPolicy: {connectionPool: {tcp: {maxConnections: 1}}}}`},
		"another's host, in clear":  {rule: simple, others: true, alone: true, onRule: "rule-conflict spec.trafficPolicy"},
		"another's host, encrypted": {rule: simple, others: true, alone: true, theirRule: simple},
	} {
		view := &egresstest.Cluster{Mesh: egresstest.Mesh()}
		r := &Reviewer{Mesh: view.Mesh, View: view, Policies: &policies{}}
		if tc.others {
			view.Known = append(view.Known, sealed("others"))
		}
		if tc.theirRule != "" {
			theirs := r.Mesh.ReadRule(destinationRule(t, tc.theirRule))
			theirs.Namespace = "others"
			view.Rules = append(view.Rules, theirs)
		}
		before := view.Known
		own := egresstest.Sealed("api.example.com", egress.Port{Number: 80, Name: "http", Protocol: "HTTP"})
		own.Name, own.Created = "x", time.Unix(2, 0)
		if !tc.alone {
			view.Known = append(view.Known, own)
		}
		outcome, err := r.Review(t.Context(), stored(t, r, create(destinationRule(t, tc.rule))))
		require.NoError(t, err, name)
		assert.Equal(t, tc.onRule, strings.Join(codes(outcome), ", "), name+": the entry is there")

		if tc.alone {
			continue
		}
		view.Known = before
		rule := r.Mesh.ReadRule(destinationRule(t, tc.rule))
		rule.Namespace, rule.InForce = egresstest.Namespace, hop.RuleInForce(destinationRule(t, tc.rule))
		view.Rules = append(view.Rules, rule)
		outcome, err = r.Review(t.Context(), stored(t, r, create(entry(t, ours))))
		require.NoError(t, err, name)
		assert.Equal(t, tc.onEntry, strings.Join(codes(outcome), ", "), name+": the rule is there")
		for _, finding := range outcome.Findings {
			assert.NotEmpty(t, finding.Fix, name)
		}
	}
}

// TestNobodyHasSettingsOfASharedExitAlone, whose entry ever came first: who writes a rule that others do not agree with is told so.
func TestNobodyHasSettingsOfASharedExitAlone(t *testing.T) {
	t.Parallel()
	own, theirs := egresstest.Sealed("api.example.com", egress.Port{Number: 80, Name: "http", Protocol: "HTTP"}), *egresstest.Sealed("api.example.com", egress.Port{Number: 80, Name: "http", Protocol: "HTTP"})
	own.Created, theirs.Namespace = time.Unix(1, 0), "others"
	view := &egresstest.Cluster{Mesh: egresstest.Mesh(), Known: []*egress.Entry{own, &theirs}}
	r := &Reviewer{Mesh: view.Mesh, View: view, Policies: &policies{}}
	const pool = `{host: api.example.com, trafficPolicy: {connectionPool: {tcp: {maxConnections: 1}}}}`
	outcome, err := r.Review(t.Context(), stored(t, r, create(destinationRule(t, pool))))
	require.NoError(t, err)
	assert.Empty(t, codes(outcome))
	require.Len(t, outcome.Changes, 1)
	assert.Contains(t, outcome.Changes[0], "spec.trafficPolicy.connectionPool: the egress gateway does not call api.example.com by it, port 80: namespace others has an entry")
	agreed := view.Mesh.ReadRule(destinationRule(t, pool))
	agreed.Namespace = "others"
	for _, alike := range []egresstest.Cluster{{Mesh: view.Mesh, Known: view.Known[:1]}, {Mesh: view.Mesh, Known: view.Known, Rules: []*egress.Rule{agreed}}} {
		*view = alike
		outcome, err = r.Review(t.Context(), stored(t, r, create(destinationRule(t, pool))))
		require.NoError(t, err)
		assert.Empty(t, codes(outcome))
		assert.Empty(t, outcome.Changes)
	}
	view.Rules = nil

	other := view.Mesh.ReadRule(destinationRule(t, pool))
	other.Namespace, other.Name = egresstest.Namespace, "another"
	view.Rules = []*egress.Rule{other}
	outcome, err = r.Review(t.Context(), stored(t, r, create(destinationRule(t, pool))))
	require.NoError(t, err)
	assert.Equal(t, []string{"duplicate-rule spec.trafficPolicy"}, codes(outcome))
}

// TestTheGatewaysServiceIsCalledAsTheAppSpeaks, whatever a tenant's rule says.
func TestTheGatewaysServiceIsCalledAsTheAppSpeaks(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string][]string{
		`{host: ` + egresstest.GatewayService + `, subsets: [{name: api}]}`:                                                          nil,
		`{host: ` + egresstest.GatewayService + `, subsets: [{name: api, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}]}`:              {"gateway-rule spec.host"},
		`{host: ` + egresstest.GatewayService + `, trafficPolicy: {portLevelSettings: [{port: {number: 80}, tls: {mode: SIMPLE}}]}}`: {"gateway-rule spec.host"},
	} {
		r := newReviewer()
		outcome, err := r.Review(t.Context(), stored(t, r, create(destinationRule(t, spec))))
		require.NoError(t, err)
		assert.Equal(t, want, codes(outcome), spec)
	}
}

// TestNoRuleChangesASharedExitUnseen: neither a wildcard, nor one beside an entry that its own namespace does not see.
func TestNoRuleChangesASharedExitUnseen(t *testing.T) {
	t.Parallel()
	const wildcard, exact = `{host: "*.example.com", trafficPolicy: `, `{host: api.example.com, trafficPolicy: `
	for name, tc := range map[string]struct {
		rule    string
		unseen  bool
		younger bool
		also    bool
		want    []string
	}{
		"a wildcard encrypts":                 {wildcard + `{tls: {mode: SIMPLE}}}`, false, true, false, []string{"rule-conflict spec.trafficPolicy"}},
		"a wildcard pools":                    {wildcard + `{connectionPool: {tcp: {maxConnections: 1}}}}`, false, false, false, nil},
		"a wildcard lends the mesh's own TLS": {wildcard + `{tls: {mode: ISTIO_MUTUAL}}}`, false, true, false, []string{"tls-mode spec.trafficPolicy.tls.mode", "rule-conflict spec.trafficPolicy"}},
		"a wildcard lends files": {wildcard + `{tls: {mode: MUTUAL, clientCertificate: /etc/x, privateKey: /etc/y}}}`, false, true, false, []string{
			"tls-file spec.trafficPolicy.tls.clientCertificate", "tls-file spec.trafficPolicy.tls.privateKey", "rule-conflict spec.trafficPolicy",
		}},
		"a wildcard in clear": {wildcard + `{tls: {mode: DISABLE}}}`, false, true, false, nil},
		"a wildcard beside an entry of its host, and a rule before it": {wildcard + `{tls: {mode: SIMPLE}}}`, false, true, true, []string{"rule-conflict spec.trafficPolicy"}},
		"unseen, encrypts":        {exact + `{tls: {mode: SIMPLE}}}`, true, true, false, []string{"rule-conflict spec.trafficPolicy"}},
		"unseen, with a wildcard": {wildcard + `{tls: {mode: SIMPLE}}}`, true, true, false, []string{"rule-conflict spec.trafficPolicy"}},
		"unseen, pools":           {exact + `{connectionPool: {tcp: {maxConnections: 1}}}}`, true, false, false, nil},
	} {
		r, view := mutual()
		if tc.also {
			above := egresstest.Sealed("*.example.com", egress.Port{Number: 80, Name: "http", Protocol: "HTTP"})
			above.Transport = egress.MutualTLS
			view.Known = append(view.Known, above)
		}
		if tc.also {
			closer := r.Mesh.ReadRule(destinationRule(t, exact+`{tls: {mode: DISABLE}}}`))
			closer.Namespace, closer.Name = egresstest.Namespace, "closer"
			view.Rules = append(view.Rules, closer)
		}
		victim := egresstest.Sealed("api.example.com", egress.Port{Number: 80, Name: "http", Protocol: "HTTP"})
		victim.Namespace, victim.Name, victim.Transport, victim.ExportTo = "victim", "v", egress.MutualTLS, []string{"."}
		if victim.Created = time.Unix(500, 0); !tc.younger {
			victim.Created = time.Unix(1500, 0)
		}
		if tc.unseen {
			view.Known[0].ExportTo = []string{"elsewhere"}
		}
		view.Known = append(view.Known, victim)
		outcome, err := r.Review(t.Context(), stored(t, r, create(destinationRule(t, tc.rule))))
		require.NoError(t, err)
		assert.Equal(t, tc.want, codes(outcome), name)
	}
}

// TestSettingsThatProxiesRejectAreRefused whichever host they are for: an exit's, a Service's, the egress gateway's own.
func TestSettingsThatProxiesRejectAreRefused(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"api.example.com", "nobody.example.com", "local", egresstest.GatewayService, "'*.example.com'"} {
		outcome, err := newReviewer().Review(t.Context(), create(destinationRule(t, `{host: `+host+`, trafficPolicy: {loadBalancer: {consistentHash: {httpHeaderName: ""}}}}`)))
		require.NoError(t, err)
		assert.Equal(t, []string{"bad-value spec.trafficPolicy.loadBalancer.consistentHash.httpHeaderName"}, codes(outcome), host)
	}
}

// TestSettingsThatCostOthersAreFoundWhereTheyAreStored: a rule that was there before such were refused is told of by the audit.
func TestSettingsThatCostOthersAreFoundWhereTheyAreStored(t *testing.T) {
	t.Parallel()
	const ring = `{host: "*.example.com", trafficPolicy: {loadBalancer: {consistentHash: {useSourceIp: true, ringHash: {minimumRingSize: 8388608}}}}}`
	r := newReviewer()
	stored := create(destinationRule(t, ring))
	stored.Operation = Audit
	for _, req := range []Request{create(destinationRule(t, ring)), stored} {
		outcome, err := r.Review(t.Context(), req)
		require.NoError(t, err)
		assert.Contains(t, codes(outcome), "costly-setting spec.trafficPolicy.loadBalancer.consistentHash.ringHash.minimumRingSize", req.Operation)
	}
}

// TestARuleOfTwoExits is for the calls of others by an entry that its namespace has for them, and for its own by another's: both exits must
// encrypt as it does.
func TestARuleOfTwoExits(t *testing.T) {
	t.Parallel()
	const http = `ports: [{number: 80, name: http, protocol: HTTP}]}`
	r := newReviewer()
	own, theirs := known(t, `{hosts: [x.test], exportTo: [web], resolution: DNS, `+http, true), known(t, `{hosts: [x.test], exportTo: [payments], resolution: DNS, `+http, true)
	theirs.Namespace = "theirs"
	r.Mesh.Gateways = append(r.Mesh.Gateways, egress.Gateway{Name: "elsewhere", Service: "elsewhere.elsewhere.svc.cluster.local", HTTPPort: 80})
	view := r.View.(*egresstest.Cluster)
	view.Mesh = r.Mesh
	written := create(object(t, "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: x, namespace: payments}\nspec: {host: x.test, trafficPolicy: {tls: {mode: SIMPLE}}}"))
	for gateway, want := range map[string][]string{"": nil, "elsewhere": {"rule-conflict spec.trafficPolicy"}} {
		theirs.Gateway = gateway
		view.Known = []*egress.Entry{own}
		if gateway != "" {
			view.Known = append(view.Known, theirs)
		}
		outcome, err := r.Review(t.Context(), stored(t, r, written))
		require.NoError(t, err)
		assert.Equal(t, want, codes(outcome))
	}
}
