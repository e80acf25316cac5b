package simulate_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/bundle"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/types"

	"github.com/egress-governor/egress-governor/internal/config"
	"github.com/egress-governor/egress-governor/internal/dryrun"
	"github.com/egress-governor/egress-governor/internal/manifest"
	"github.com/egress-governor/egress-governor/internal/review"
	"github.com/egress-governor/egress-governor/internal/simulate"
)

func objects(t *testing.T, texts ...string) []manifest.Object {
	t.Helper()
	out, err := manifest.Parse("x.yaml", []byte(strings.Join(texts, "\n---\n")))
	require.NoError(t, err)
	return out
}

// run simulates policies in a cluster that holds what is stored.
func run(t *testing.T, stored, policies []string, change func(*simulate.Options)) *simulate.Simulation {
	t.Helper()
	installed, err := config.Installed()
	require.NoError(t, err)
	session, err := dryrun.New(dryrun.Options{Configuration: installed, Sending: dryrun.Sending{Time: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}, Namespace: "default"})
	require.NoError(t, err)
	held := objects(t, stored...)
	require.NoError(t, session.Store(held...))
	options := simulate.Options{Policies: objects(t, policies...), MaxShare: 0.2}
	if change != nil {
		change(&options)
	}
	out, err := simulate.Run(t.Context(), session, held, options, func() {})
	require.NoError(t, err)
	return out
}

// changes are those of hosts, a line each.
func changes(of *simulate.Simulation) (out []string) {
	for _, host := range of.Hosts {
		out = append(out, fmt.Sprintf("%s %s %s: %s", host.Of.GetNamespace(), host.Host, host.Of.GetName(), host.Change))
	}
	return out
}

const namespaces = "apiVersion: v1\nkind: Namespace\nmetadata: {name: a, labels: {team: a}}\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: b}"

// entry is one that is sealed, as it is stored.
func entry(namespace, name string, hosts ...string) string {
	return fmt.Sprintf("apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata:\n  name: %s\n  namespace: %s\n"+
		"  annotations: {egress-governor.io/intent: '[{\"now\":[{\"address\":\"istio-egressgateway.istio-system.svc.cluster.local\",\"ports\":{\"tls\":443}}],\"paths\":[\"spec.endpoints\"]}]'}\n"+
		"spec:\n  hosts: [%s]\n  exportTo: [\".\"]\n  resolution: DNS\n  ports: [{number: 443, name: tls, protocol: TLS}]\n"+
		"  endpoints: [{address: istio-egressgateway.istio-system.svc.cluster.local, ports: {tls: 443}}]",
		name, namespace, strings.Join(hosts, ", "))
}

func policy(name, spec string) string {
	return "apiVersion: egress-governor.io/v1alpha1\nkind: EgressPolicy\nmetadata: {name: " + name + "}\nspec: {" + spec + "}"
}

func allowed(hosts string) string {
	return "policy: allowed-hosts, parameters: {hosts: [" + hosts + "]}"
}

// TestEachHostHasItsChange: one that was denied already is none, and the others of its entry are as they were.
func TestEachHostHasItsChange(t *testing.T) {
	t.Parallel()
	stored := []string{namespaces, entry("a", "one", "x.example.com", "y.example.com"), entry("b", "two", "x.example.com"), policy("hosts", allowed("y.example.com"))}
	for name, of := range map[string]struct {
		policies []string
		only     bool
		want     []string
	}{
		"the same":          {[]string{policy("hosts", allowed("y.example.com"))}, false, nil},
		"narrower":          {[]string{policy("hosts", allowed("z.example.com"))}, false, []string{"a y.example.com one: newly-denied"}},
		"wider":             {[]string{policy("hosts", allowed("'*.example.com'"))}, false, []string{"a x.example.com one: newly-allowed", "b x.example.com two: newly-allowed"}},
		"less of a word":    {[]string{policy("hosts", "enforcement: Warn, "+allowed("y.example.com"))}, false, []string{"a x.example.com one: newly-allowed", "b x.example.com two: newly-allowed"}},
		"another beside it": {[]string{policy("more", "enforcement: Warn, "+allowed("x.example.com"))}, false, []string{"a y.example.com one: newly-warned"}},
		"recorded alone":    {[]string{policy("more", "enforcement: Audit, "+allowed("x.example.com"))}, false, []string{"a y.example.com one: newly-audited"}},
		"exactly these":     {[]string{policy("more", "enforcement: Audit, "+allowed("x.example.com"))}, true, []string{"a x.example.com one: newly-allowed", "a y.example.com one: newly-audited", "b x.example.com two: newly-allowed"}},
		"of a namespace":    {[]string{policy("hosts", "match: {namespaces: [b]}, "+allowed("y.example.com"))}, false, []string{"a x.example.com one: newly-allowed"}},
		"a policy that cannot be evaluated": {[]string{policy("hosts", `rego: "package p\n\ndeny contains \"no\" if 1 / (count(input.name) - 3) == 1"`)}, false,
			[]string{"a x.example.com one: denied-to-failed", "a y.example.com one: newly-failed", "b x.example.com two: denied-to-failed"}},
	} {
		got := run(t, stored, of.policies, func(o *simulate.Options) { o.Only = of.only })
		assert.Equal(t, of.want, changes(got), name)
		worse := strings.Contains(strings.Join(of.want, ""), "newly-denied") || strings.Contains(strings.Join(of.want, ""), "newly-failed")
		assert.Equal(t, worse, got.Worse(), name)
		assert.Equal(t, 2, got.Objects, name)
	}
}

// TestItSaysWhy: what comes, or where it gets better what goes.
func TestItSaysWhy(t *testing.T) {
	t.Parallel()
	stored := []string{namespaces, entry("a", "one", "x.example.com"), policy("hosts", allowed("y.example.com"))}
	got := run(t, stored, []string{policy("hosts", allowed("x.example.com"))}, nil)
	require.Len(t, got.Hosts, 1)
	assert.Equal(t, []review.Effect{review.Denied, review.Allowed}, []review.Effect{got.Hosts[0].From, got.Hosts[0].To})
	require.Len(t, got.Hosts[0].Findings, 1)
	assert.Equal(t, review.Denied, got.Hosts[0].Findings[0].Effect)
	assert.Equal(t, []string{"hosts"}, got.Policies.Changed)
	got = run(t, stored, []string{policy("hosts", "enforcement: Warn, "+allowed("z.example.com"))}, nil)
	require.Len(t, got.Hosts, 1)
	assert.Equal(t, review.Warned, got.Hosts[0].To)
	require.Len(t, got.Hosts[0].Findings, 1)
	assert.Equal(t, review.Denied, got.Hosts[0].Findings[0].Effect, "what goes is told")
}

// TestWhatIsNotSealedIsJudgedAsItIsWrittenNext.
func TestWhatIsNotSealedIsJudgedAsItIsWrittenNext(t *testing.T) {
	t.Parallel()
	written := "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: one, namespace: a}\n" +
		"spec: {hosts: [x.example.com], exportTo: [\".\"], resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}"
	got := run(t, []string{namespaces, written}, []string{policy("hosts", "existing: Suspend, "+allowed("y.example.com"))}, nil)
	assert.Equal(t, []string{"a x.example.com one: newly-denied"}, changes(got))
	assert.Empty(t, got.Exits.Suspended, "it has no exit that could be taken away")
}

// TestKindsThatPoliciesAskForAreJudged, from the moment one does.
func TestKindsThatPoliciesAskForAreJudged(t *testing.T) {
	t.Parallel()
	group := "apiVersion: networking.istio.io/v1\nkind: WorkloadGroup\nmetadata: {name: vm, namespace: a}\nspec: {template: {}}"
	rego := `match: {kinds: [WorkloadGroup]}, rego: "package p\n\ndeny contains \"no groups\""`
	got := run(t, []string{namespaces, group}, []string{policy("groups", rego)}, nil)
	assert.Equal(t, []string{"a  vm: newly-denied"}, changes(got))
}

// TestSuspensionsAreForeseen as the audit has them: those that are too many at once wait for somebody.
func TestSuspensionsAreForeseen(t *testing.T) {
	t.Parallel()
	stored := []string{namespaces}
	for i := range 7 {
		stored = append(stored, entry("a", fmt.Sprintf("e%d", i), fmt.Sprintf("h%d.example.com", i)))
	}
	suspends := func(hosts string) []string { return []string{policy("hosts", "existing: Suspend, "+allowed(hosts))} }
	got := run(t, stored, suspends("h2.example.com, h3.example.com, h4.example.com, h5.example.com, h6.example.com"), nil)
	assert.Len(t, got.Exits.Suspended, 2)
	assert.Contains(t, got.Exits.Suspended[types.NamespacedName{Namespace: "a", Name: "e1"}], "hosts: spec.hosts[0]: host \"h1.example.com\" is not allowed")
	assert.True(t, got.Worse())
	got = run(t, stored, suspends("h6.example.com"), nil)
	assert.Empty(t, got.Exits.Suspended)
	assert.Equal(t, map[string]int{"hosts": 6}, got.Exits.Held)
	assert.Len(t, got.Hosts, 6)
	got = run(t, stored, []string{policy("hosts", allowed("h6.example.com"))}, nil)
	assert.Empty(t, got.Exits.Suspended)
	assert.Empty(t, got.Exits.Held)

	// One that is suspended has its exit back.
	gone := entry("a", "gone", "gone.example.com") + "\nstatus: {conditions: [{type: ExitReady, status: \"False\", reason: Suspended, message: hosts}]}"
	held := policy("hosts", "existing: Suspend, "+allowed("h.example.com"))
	got = run(t, []string{namespaces, gone, held}, suspends("gone.example.com"), nil)
	assert.Equal(t, []types.NamespacedName{{Namespace: "a", Name: "gone"}}, got.Exits.Restored)
	assert.Equal(t, []string{"a gone.example.com gone: newly-allowed"}, changes(got))
	got = run(t, []string{namespaces, gone, held}, []string{policy("other", "enforcement: Audit, "+allowed("gone.example.com"))}, nil)
	assert.Empty(t, got.Exits.Restored)
	assert.Empty(t, got.Exits.Suspended)
}

// TestSomebodysWordStands for a policy that stays as it is, and for no other.
func TestSomebodysWordStands(t *testing.T) {
	t.Parallel()
	stored := []string{namespaces}
	for i := range 7 {
		stored = append(stored, entry("a", fmt.Sprintf("e%d", i), fmt.Sprintf("h%d.example.com", i)))
	}
	spec := "existing: Suspend, enforcement: Deny, " + allowed("h6.example.com")
	confirmed := strings.ReplaceAll(policy("hosts", spec), "{name: hosts}", "{name: hosts, generation: 3, annotations: {egress-governor.io/confirm-suspend: '3'}}")
	other := policy("other", "enforcement: Audit, "+allowed("'*'"))
	got := run(t, append(stored, confirmed), []string{other}, nil)
	assert.Len(t, got.Exits.Suspended, 6)
	got = run(t, append(stored, confirmed), []string{strings.ReplaceAll(confirmed, "h6.", "h5.")}, nil)
	assert.Empty(t, got.Exits.Suspended)
	assert.Equal(t, map[string]int{"hosts": 6}, got.Exits.Held)
}

// TestSomebodysWordStandsForABundle, as the audit has it: for the content that he looked at.
func TestSomebodysWordStandsForABundle(t *testing.T) {
	t.Parallel()
	const rego = "package policies.nobody\n\ndeny contains {\"msg\": \"no\", \"code\": \"nobody\"} if input.kind == \"ServiceEntry\"\n"
	installed, err := config.Installed()
	require.NoError(t, err)
	standards, err := dryrun.Standards(installed)
	require.NoError(t, err)
	standards.ExpectBundles("acme")
	require.NoError(t, standards.SetBundle("acme", &bundle.Bundle{Data: map[string]any{}, Modules: []bundle.ModuleFile{{Path: "/nobody.rego", Raw: []byte(rego)}}}))
	stored := []string{namespaces}
	for i := range 6 {
		stored = append(stored, entry("a", fmt.Sprintf("e%d", i), fmt.Sprintf("h%d.example.com", i)))
	}
	simulated := func(word string) (*simulate.Simulation, *dryrun.Session) {
		session, err := dryrun.New(dryrun.Options{Configuration: installed, Standards: standards, Sending: dryrun.Sending{Time: time.Unix(1e9, 0)}, Namespace: "default"})
		require.NoError(t, err)
		confirmed := strings.ReplaceAll(policy("hosts", "existing: Suspend, policy: acme/nobody"), "{name: hosts}", "{name: hosts, generation: 3, annotations: {egress-governor.io/confirm-suspend: '"+word+"'}}")
		held := objects(t, append(stored, confirmed)...)
		require.NoError(t, session.Store(held...))
		out, err := simulate.Run(t.Context(), session, held, simulate.Options{Policies: objects(t, policy("other", "enforcement: Audit, "+allowed("'*'"))), MaxShare: 0.2}, func() {})
		require.NoError(t, err)
		return out, session
	}
	got, session := simulated("3")
	assert.Equal(t, map[string]int{"hosts": 6}, got.Exits.Held)
	got, _ = simulated("3-" + session.ParametersOf("hosts"))
	assert.Empty(t, got.Exits.Held)
	assert.Len(t, got.Exits.Suspended, 6)
}

// TestWhatTheWebhookWouldRefuseIsAnError, as is what is the baseline's.
func TestWhatTheWebhookWouldRefuseIsAnError(t *testing.T) {
	t.Parallel()
	installed, err := config.Installed()
	require.NoError(t, err)
	for text, want := range map[string]string{
		policy("hosts", "policy: none"):                     `the library has no policy "none"`,
		policy("baseline-mesh-hosts", "policy: mesh-hosts"): "it is one of the baseline",
	} {
		session, err := dryrun.New(dryrun.Options{Configuration: installed, Namespace: "default"})
		require.NoError(t, err)
		_, err = simulate.Run(t.Context(), session, nil, simulate.Options{Policies: objects(t, text)}, func() {})
		require.ErrorContains(t, err, want)
		assert.ErrorContains(t, err, "x.yaml:1: EgressPolicy ")
	}
}

// TestWhatNoPolicyWarnsOfHidesNothing: it is so under all policies, so that another warning of the same host is news.
func TestWhatNoPolicyWarnsOfHidesNothing(t *testing.T) {
	t.Parallel()
	routes := func(name string) string {
		return "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: " + name + ", namespace: a}\n" +
			"spec: {hosts: [x.example.com], exportTo: [\".\"], tls: [{match: [{sniHosts: [x.example.com]}], route: [{destination: {host: x.example.com}}]}]}"
	}
	stored := []string{namespaces, entry("a", "one", "x.example.com"), routes("older"), routes("younger")}
	assert.Empty(t, changes(run(t, stored, nil, nil)))
	got := run(t, stored, []string{policy("told", `match: {kinds: [VirtualService]}, rego: "package p\n\nwarn contains \"no\" if input.name == \"younger\""`)}, nil)
	assert.Equal(t, []string{"a x.example.com younger: newly-warned"}, changes(got))
}
