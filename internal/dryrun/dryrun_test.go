package dryrun_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/config"
	"github.com/egress-governor/egress-governor/internal/dryrun"
	"github.com/egress-governor/egress-governor/internal/manifest"
	"github.com/egress-governor/egress-governor/internal/review"
)

func session(t *testing.T, change func(*dryrun.Options)) *dryrun.Session {
	t.Helper()
	installed, err := config.Installed()
	require.NoError(t, err)
	options := dryrun.Options{Configuration: installed, Sending: dryrun.Sending{Time: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}, Namespace: "default"}
	if change != nil {
		change(&options)
	}
	out, err := dryrun.New(options)
	require.NoError(t, err)
	return out
}

func objects(t *testing.T, texts ...string) []manifest.Object {
	t.Helper()
	out, err := manifest.Parse("x.yaml", []byte(strings.Join(texts, "\n---\n")))
	require.NoError(t, err)
	return out
}

// TestWhatIsInterruptedEnds: nothing that is left is answered.
func TestWhatIsInterruptedEnds(t *testing.T) {
	t.Parallel()
	for name, run := range map[string]func(*dryrun.Session, context.Context, []manifest.Object, func()) error{
		"applies": func(s *dryrun.Session, ctx context.Context, of []manifest.Object, done func()) error {
			_, err := s.Apply(ctx, of, done)
			return err
		},
		"audits": func(s *dryrun.Session, ctx context.Context, of []manifest.Object, done func()) error {
			_, err := s.Audit(ctx, of, done)
			return err
		},
	} {
		ctx, interrupt := context.WithCancel(t.Context())
		answered := 0
		err := run(session(t, nil), ctx, objects(t, entry, strings.Replace(entry, "name: api", "name: b", 1), strings.Replace(entry, "name: api", "name: c", 1)), func() {
			answered++
			interrupt()
		})
		require.ErrorIs(t, err, context.Canceled, name)
		assert.Equal(t, 1, answered, name)
	}
}

// verdicts returns those of objects that are applied, by name.
func verdicts(t *testing.T, of *dryrun.Session, texts ...string) map[string]review.Verdict {
	t.Helper()
	answers, err := of.Apply(t.Context(), objects(t, texts...), func() {})
	require.NoError(t, err)
	out := map[string]review.Verdict{}
	for _, answer := range answers {
		out[manifest.Name(answer.Unstructured)] = answer.Verdict
	}
	return out
}

const (
	labelled = "apiVersion: v1\nkind: Namespace\nmetadata: {name: app, labels: {team: app}}"
	entry    = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: api, namespace: app}\n" +
		"spec: {hosts: [api.example.com], exportTo: [\".\"], resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}"
	deny = "apiVersion: egress-governor.io/v1alpha1\nkind: EgressPolicy\nmetadata: {name: hosts}\n" +
		"spec: {policy: allowed-hosts, match: {namespaceSelector: {matchLabels: {team: app}}}, parameters: {hosts: [other.example.com]}}"
	sidecar = "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: open, namespace: app}\nspec: {outboundTrafficPolicy: {mode: ALLOW_ANY}}"
)

// TestNamespacesAndPoliciesCountWhereverTheyStand, among the manifests as in what is stored.
func TestNamespacesAndPoliciesCountWhereverTheyStand(t *testing.T) {
	t.Parallel()
	for _, texts := range [][]string{{labelled, deny, entry}, {entry, deny, labelled}, {deny, entry, labelled}} {
		assert.Equal(t, review.Denied, verdicts(t, session(t, nil), texts...)["ServiceEntry app/api"])
	}
	assert.Equal(t, review.Allowed, verdicts(t, session(t, nil), deny, entry)["ServiceEntry app/api"], "the namespace has no label")
	of := session(t, nil)
	require.NoError(t, of.Store(objects(t, labelled, deny)...))
	assert.Equal(t, review.Denied, verdicts(t, of, entry)["ServiceEntry app/api"])
}

// TestObjectsAreAnsweredInTheirOrder: what comes later is not known yet, as it is not to the webhook.
func TestObjectsAreAnsweredInTheirOrder(t *testing.T) {
	t.Parallel()
	route := "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: api, namespace: app}\n" +
		"spec: {parentRefs: [{group: networking.istio.io, kind: ServiceEntry, name: api}], rules: [{backendRefs: [{group: networking.istio.io, kind: Hostname, name: api.example.com, port: 80}]}]}"
	plain := strings.NewReplacer("443", "80", "tls", "http", "TLS", "HTTP").Replace(entry)
	assert.Equal(t, review.Refused, verdicts(t, session(t, nil), route, plain)["HTTPRoute app/api"])
	assert.Equal(t, review.Allowed, verdicts(t, session(t, nil), plain, route)["HTTPRoute app/api"])
}

// TestTheWebhookIsAskedAboutNothingElse: neither about kinds and namespaces that are not governed, nor about kinds for which no
// policy asks.
func TestTheWebhookIsAskedAboutNothingElse(t *testing.T) {
	t.Parallel()
	got := verdicts(t, session(t, nil), sidecar, strings.ReplaceAll(entry, "namespace: app", "namespace: istio-system"),
		"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: api, namespace: app}", "apiVersion: example.com/v1\nkind: ServiceEntry\nmetadata: {name: theirs, namespace: app}",
		"apiVersion: v1\nkind: Namespace\nmetadata: {name: exempt, labels: {egress-governor.io/exempt: \"true\"}}", strings.ReplaceAll(entry, "namespace: app", "namespace: exempt"))
	assert.Equal(t, map[string]review.Verdict{
		"Sidecar app/open": review.Denied, "ServiceEntry istio-system/api": "", "Deployment app/api": "", "ServiceEntry app/theirs": "",
		"Namespace exempt": "", "ServiceEntry exempt/api": "",
	}, got)
	off := func(o *dryrun.Options) { o.Configuration.Baseline.Enforcement = "Off" }
	assert.Equal(t, review.Verdict(""), verdicts(t, session(t, off), sidecar)["Sidecar app/open"])
	block := func(o *dryrun.Options) { off(o); o.Configuration.Unregistered = "Block" }
	assert.Equal(t, review.Refused, verdicts(t, session(t, block), sidecar)["Sidecar app/open"])
}

func TestObjectsAreOfTheNamespaceThatIsSaid(t *testing.T) {
	t.Parallel()
	of := session(t, func(o *dryrun.Options) { o.Namespace = "app" })
	got := verdicts(t, of, labelled, deny, strings.ReplaceAll(entry, ", namespace: app", ""))
	assert.Equal(t, review.Denied, got["ServiceEntry app/api"])
}

// TestTheBaselineIsTheConfigurations: what is stored of it says nothing, neither does a policy of such a name.
func TestTheBaselineIsTheConfigurations(t *testing.T) {
	t.Parallel()
	named := func(name, labels string) string {
		return "apiVersion: egress-governor.io/v1alpha1\nkind: EgressPolicy\nmetadata: {name: " + name + labels + "}\nspec: {policy: sidecar-outbound, enforcement: Audit}"
	}
	of := session(t, nil)
	require.NoError(t, of.Store(objects(t, named("baseline-sidecar-outbound", ", labels: {app.kubernetes.io/managed-by: egress-governor}"))...))
	assert.Equal(t, review.Denied, verdicts(t, of, named("baseline-sidecar-outbound", ""), sidecar)["Sidecar app/open"])
	off := session(t, func(o *dryrun.Options) { o.Configuration.Baseline.Enforcement = "Off" })
	older := strings.ReplaceAll(named("baseline-sidecar-outbound", ", labels: {app.kubernetes.io/managed-by: egress-governor}"), "Audit", "Deny")
	require.NoError(t, off.Store(objects(t, older)...))
	assert.Equal(t, review.Verdict(""), verdicts(t, off, sidecar)["Sidecar app/open"])
}

// TestAPolicyThatDoesNotCompileIsRefused in the webhook's words, and what was in force stays so.
func TestAPolicyThatDoesNotCompileIsRefused(t *testing.T) {
	t.Parallel()
	for change, want := range map[string]string{
		"policy: allowed-host,":                      `EgressPolicy "hosts": spec.policy: the library has no policy "allowed-host"`,
		"policy: allowed-hosts, enforcement: Never,": `EgressPolicy "hosts": spec.enforcement: must be Deny, Warn or Audit, is "Never"`,
		"policy: allowed-hosts, enforcement: no,":    `EgressPolicy "hosts": json: cannot unmarshal bool into Go struct field EgressPolicySpec.spec.enforcement`,
		"policy: allowed-hosts, polcy: x,":           `unknown field "spec.polcy"`,
	} {
		of := session(t, nil)
		require.NoError(t, of.Store(objects(t, labelled, deny)...))
		answers, err := of.Apply(t.Context(), objects(t, strings.ReplaceAll(deny, "policy: allowed-hosts,", change), entry), func() {})
		require.NoError(t, err)
		assert.Equal(t, review.Refused, answers[0].Verdict)
		assert.Contains(t, answers[0].Message, want)
		assert.Equal(t, review.Denied, answers[1].Verdict)
		assert.ErrorContains(t, of.Enforce(objects(t, strings.ReplaceAll(deny, "policy: allowed-hosts,", change))...), "x.yaml:1: EgressPolicy hosts: ")
	}
}

// TestAStoredPolicyThatDoesNotCompileFailsWhatItSelects, as it does in a cluster where it was stored past the webhook.
func TestAStoredPolicyThatDoesNotCompileFailsWhatItSelects(t *testing.T) {
	t.Parallel()
	of := session(t, nil)
	require.NoError(t, of.Store(objects(t, labelled, strings.ReplaceAll(deny, "policy: allowed-hosts,", "policy: allowed-host,"))...))
	assert.Equal(t, review.Failed, verdicts(t, of, entry)["ServiceEntry app/api"])
}

// TestWhatIsStoredIsUpdated, and rendered only where it changes.
func TestWhatIsStoredIsUpdated(t *testing.T) {
	t.Parallel()
	first := session(t, nil)
	answers, err := first.Apply(t.Context(), objects(t, entry), func() {})
	require.NoError(t, err)
	stored, err := first.Render(answers)
	require.NoError(t, err)
	require.Len(t, stored, 4, "the entry, the gateway's Gateway object, and the exit set")

	again := session(t, nil)
	for _, object := range stored {
		require.NoError(t, again.Store(manifest.Object{Unstructured: object}))
	}
	answers, err = again.Apply(t.Context(), objects(t, strings.ReplaceAll(entry, "443", "8443")), func() {})
	require.NoError(t, err)
	document, err := again.Input(answers[0], "")
	require.NoError(t, err)
	assert.Equal(t, "UPDATE", document["operation"])
	rendered, err := again.Render(answers)
	require.NoError(t, err)
	var names []string
	for _, object := range rendered {
		names = append(names, object.GetKind())
		assert.Empty(t, object.GetUID())
	}
	assert.Equal(t, []string{"ServiceEntry", "ServiceEntry", "VirtualService"}, names, "the Gateway object stays as it is")
}

// TestPoliciesSeeWhatTheWebhookShowsThem: who applies, when, and what of the namespace; the last object no later than the first.
func TestPoliciesSeeWhatTheWebhookShowsThem(t *testing.T) {
	t.Parallel()
	of := session(t, func(o *dryrun.Options) { o.User = review.User{Name: "ada"} })
	annotated := "apiVersion: v1\nkind: Namespace\nmetadata: {name: app, annotations: {owner: tills}}"
	generated := strings.ReplaceAll(entry, "name: api", "generateName: api-")
	answers, err := of.Apply(t.Context(), objects(t, annotated, generated, strings.ReplaceAll(generated, "api.example", "b.example")), func() {})
	require.NoError(t, err)
	var names []any
	for _, answer := range answers[1:] {
		assert.Equal(t, review.Allowed, answer.Verdict)
		document, err := of.Input(answer, "")
		require.NoError(t, err)
		assert.Equal(t, map[string]any{"owner": "tills"}, document["namespace"].(map[string]any)["annotations"])
		assert.Equal(t, "ada", document["user"].(map[string]any)["name"])
		assert.Equal(t, "2026-01-01T00:00:00Z", document["time"])
		names = append(names, document["name"])
	}
	assert.NotEqual(t, names[0], names[1])
	document, err := of.Input(answers[0], "")
	require.NoError(t, err)
	assert.Nil(t, document, "nobody is asked about a Namespace")
	_, err = of.Input(answers[1], "none")
	assert.ErrorContains(t, err, `no EgressPolicy "none" is in force`)
}

// TestPoliciesAreForWhomTheySay: names of namespaces, labels of objects and users count as they do to the webhook, and whoever
// is to beware of something is told.
func TestPoliciesAreForWhomTheySay(t *testing.T) {
	t.Parallel()
	matching := func(match string) string {
		return strings.Replace(deny, "{namespaceSelector: {matchLabels: {team: app}}}", match, 1)
	}
	as := func(options *dryrun.Options) { options.User = review.User{Name: "ann", Groups: []string{"fire"}} }
	for match, want := range map[string]review.Verdict{
		"{namespaces: [app]}": review.Denied, "{namespaces: [a*]}": review.Denied, "{namespaces: [b*]}": review.Allowed, "{exclude: [app]}": review.Allowed,
		"{objectSelector: {matchLabels: {tier: new}}}": review.Allowed, "{excludeUsers: [ann]}": review.Allowed, "{excludeGroups: [fire]}": review.Allowed, "{excludeUsers: [bob]}": review.Denied,
		"{exclude: ['*']}": review.Allowed,
	} {
		answers, err := session(t, as).Apply(t.Context(), objects(t, matching(match), entry), func() {})
		require.NoError(t, err)
		assert.Equal(t, want, answers[1].Verdict, match)
		assert.Equal(t, strings.Contains(match, "'*'"), answers[0].Verdict == review.Refused, match)
		assert.Equal(t, strings.Contains(match, "objectSelector"), strings.Contains(strings.Join(answers[0].Warnings, ""), "escapes this policy"), match)
		excluded := strings.Contains(match, "excludeU") || strings.Contains(match, "excludeG")
		assert.Equal(t, excluded && want == review.Allowed, strings.Contains(strings.Join(answers[1].Warnings, ""), "user ann is excluded from EgressPolicy hosts"), match)
	}
	answers, err := session(t, nil).Apply(t.Context(), objects(t, matching("{excludeUsers: [ann]}, docs: 'https://wiki.test/hosts', messages: {host-not-allowed: Ask first}"), entry), func() {})
	require.NoError(t, err)
	assert.Contains(t, answers[1].Message, "hosts: spec.hosts[0]: Ask first (allowed-hosts).\nFix: ask the platform team", "nobody is no user")
	assert.Contains(t, answers[1].Message, "\nDocs: https://wiki.test/hosts")
}

// TestSharedParametersCountWhereverTheyStand: those of the release's namespace, as they were stored or applied last.
func TestSharedParametersCountWhereverTheyStand(t *testing.T) {
	t.Parallel()
	sharing := strings.Replace(deny, "parameters: {hosts: [other.example.com]}", "parametersFrom: {configMap: hosts, key: k}", 1)
	parameters := func(namespace, text string) string {
		return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: hosts, namespace: " + namespace + "}\ndata: {k: '" + text + "'}"
	}
	const release = "egress-governor"
	for name, tc := range map[string]struct {
		stored, applied []string
		want            review.Verdict
	}{
		"none":               {nil, []string{labelled, sharing, entry}, review.Failed},
		"of a tenant":        {nil, []string{labelled, sharing, parameters("app", "hosts: [\"*\"]"), entry}, review.Failed},
		"not listed":         {nil, []string{labelled, sharing, parameters(release, "hosts: []"), entry}, review.Denied},
		"listed":             {nil, []string{entry, labelled, sharing, parameters(release, "hosts: [api.example.com]")}, review.Allowed},
		"listed before":      {nil, []string{parameters(release, "hosts: [api.example.com]"), sharing, labelled, entry}, review.Allowed},
		"stored":             {[]string{sharing, labelled, parameters(release, "hosts: [api.example.com]")}, []string{entry}, review.Allowed},
		"changed":            {[]string{sharing, labelled, parameters(release, "hosts: [api.example.com]")}, []string{parameters(release, "hosts: []"), entry}, review.Denied},
		"changed to nothing": {[]string{parameters(release, "hosts: [api.example.com]"), sharing, labelled}, []string{parameters(release, "hosts: 1"), entry}, review.Allowed},
		"unfit":              {nil, []string{labelled, sharing, parameters(release, "hosts: 1"), entry}, review.Failed},
	} {
		of := session(t, nil)
		if tc.stored != nil {
			require.NoError(t, of.Store(objects(t, tc.stored...)...))
		}
		assert.Equal(t, tc.want, verdicts(t, of, tc.applied...)["ServiceEntry app/api"], name)
	}
	answers, err := session(t, nil).Apply(t.Context(), objects(t, sharing, parameters(release, "hosts: 1"), sharing), func() {})
	require.NoError(t, err)
	assert.Contains(t, strings.Join(answers[0].Warnings, ""), "there is no ConfigMap egress-governor/hosts; until it is there")
	assert.Equal(t, review.Refused, answers[2].Verdict)
	assert.Contains(t, answers[2].Message, "with the parameters of ConfigMap egress-governor/hosts, key k: spec.parameters.hosts: ")
}
