package adopt_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/egress-governor/egress-governor/internal/adopt"
	"github.com/egress-governor/egress-governor/internal/config"
	"github.com/egress-governor/egress-governor/internal/dryrun"
	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/manifest"
)

func objects(t *testing.T, texts ...string) []manifest.Object {
	t.Helper()
	out, err := manifest.Parse("x.yaml", []byte(strings.Join(texts, "\n---\n")))
	require.NoError(t, err)
	return out
}

// rehearsed returns a session that governs namespaces of the cluster that the chart installs without values, and its mesh.
func rehearsed(t *testing.T, names ...string) (*dryrun.Session, *egress.Mesh) {
	t.Helper()
	installed, err := config.Installed()
	require.NoError(t, err)
	mesh, err := installed.Mesh()
	require.NoError(t, err)
	session, err := dryrun.New(dryrun.Options{Configuration: installed, Sending: dryrun.Sending{Time: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}, Namespace: "default", Rehearse: names})
	require.NoError(t, err)
	return session, mesh
}

func plan(t *testing.T, stored []manifest.Object, names ...string) *adopt.Plan {
	t.Helper()
	session, mesh := rehearsed(t, names...)
	out, err := adopt.New(t.Context(), session, mesh, stored, names, func() {})
	require.NoError(t, err)
	return out
}

// states are those of objects, a line each.
func states(of *adopt.Plan) (out []string) {
	for _, namespace := range of.Namespaces {
		for _, object := range namespace.Objects {
			out = append(out, fmt.Sprintf("%s %s/%s: %s", object.GetKind(), object.GetNamespace(), object.GetName(), object.State))
		}
	}
	return out
}

func hops(of *adopt.Plan) (out []string) {
	for _, each := range of.Hops {
		out = append(out, fmt.Sprintf("%s %s/%s%v: %s", each.GetKind(), each.GetNamespace(), each.GetName(), each.Hosts, each.Keep))
	}
	return out
}

const (
	observed = "apiVersion: v1\nkind: Namespace\nmetadata: {name: a, labels: {egress-governor.io/mode: Observe}}"
	governed = "apiVersion: v1\nkind: Namespace\nmetadata: {name: b}"
	exempt   = "apiVersion: v1\nkind: Namespace\nmetadata: {name: kube-system}"
	http     = "[{number: 80, name: http, protocol: HTTP}]"
	tls      = "[{number: 443, name: tls, protocol: TLS}]"
)

func object(kind, namespace, name, spec string, annotations ...string) string {
	return fmt.Sprintf("apiVersion: networking.istio.io/v1\nkind: %s\nmetadata: {name: %s, namespace: %s, annotations: {%s}}\nspec: %s", kind, name, namespace, strings.Join(annotations, ", "), spec)
}

func entry(namespace, name, host, ports string, annotations ...string) string {
	return object("ServiceEntry", namespace, name, fmt.Sprintf(`{hosts: [%s], exportTo: ["."], resolution: DNS, ports: %s}`, host, ports), annotations...)
}

const heldExit = "egress-governor.io/exit: Held"

// TestWhatBecomesOfWhatIsStored, in the order in which it is adopted.
func TestWhatBecomesOfWhatIsStored(t *testing.T) {
	t.Parallel()
	stored := objects(t, observed, governed, exempt,
		object("VirtualService", "a", "api", `{hosts: [api.example.com], exportTo: ["."], http: [{route: [{destination: {host: api.example.com, port: {number: 80}}}]}]}`),
		object("DestinationRule", "a", "api", `{host: api.example.com, exportTo: ["."], trafficPolicy: {tls: {mode: SIMPLE}}}`),
		entry("a", "api", "api.example.com", http),
		entry("a", "held", "held.example.com", tls, heldExit),
		entry("a", "tcp", "tcp.example.com", "[{number: 5432, name: tcp, protocol: TCP}]"),
		entry("b", "other", "other.example.com", tls),
		entry("kube-system", "own", "own.example.com", tls),
		object("ServiceEntry", "a", "vm", "{hosts: [vm.mesh], location: MESH_INTERNAL, resolution: STATIC, ports: "+http+", workloadSelector: {labels: {app: vm}}}"),
	)
	of := plan(t, stored, "a")
	assert.Equal(t, []string{"ServiceEntry a/api: seal", "ServiceEntry a/held: held", "ServiceEntry a/tcp: stays", "DestinationRule a/api: rewrite"}, states(of))
	assert.True(t, of.Namespaces[0].Observed && of.Left())
	assert.Equal(t, "default", of.Namespaces[0].Gateway)
	assert.Equal(t, 3, of.Steps())
	assert.Equal(t, []string{"api.example.com:80"}, of.Namespaces[0].Objects[0].Hosts)
	assert.Equal(t, "raw-protocol", of.Namespaces[0].Objects[2].Findings[0].Code)
	assert.NotEmpty(t, of.Namespaces[0].Objects[2].Findings[0].Fix)
	assert.Equal(t, []string{"ServiceEntry b/other: seal"}, states(plan(t, stored, "b")))

	for name, why := range map[string]string{"kube-system": "neither governed nor observed", "c": "there is no namespace c"} {
		session, mesh := rehearsed(t, name)
		_, err := adopt.New(t.Context(), session, mesh, stored, []string{name}, func() {})
		require.ErrorContains(t, err, why)
	}
}

// TestWhatIsSealedIsDone: the cluster itself says how far an adoption is.
func TestWhatIsSealedIsDone(t *testing.T) {
	t.Parallel()
	sealed := object("ServiceEntry", "b", "api", `{hosts: [api.example.com], exportTo: ["."], resolution: DNS, ports: `+http+`,
  endpoints: [{address: istio-egressgateway.istio-system.svc.cluster.local, ports: {http: 80}}]}`,
		`egress-governor.io/intent: '[{"now":[{"address":"istio-egressgateway.istio-system.svc.cluster.local","ports":{"http":80}}],"paths":["spec.endpoints"]}]'`)
	of := plan(t, objects(t, governed, sealed, entry("b", "next", "next.example.com", tls)), "b")
	assert.Equal(t, []string{"ServiceEntry b/api: sealed", "ServiceEntry b/next: seal"}, states(of))
}

// TestWhatCannotBeReadIsLeft, and said to be.
func TestWhatCannotBeReadIsLeft(t *testing.T) {
	t.Parallel()
	of := plan(t, objects(t, governed, object("ServiceEntry", "b", "odd", "{hosts: [odd.example.com], ports: 80}")), "b")
	assert.Equal(t, []string{"ServiceEntry b/odd: stays"}, states(of))
	assert.True(t, of.Left())
}

// TestAHostThatAnotherHasIsNotTaken by adoption: the older entry keeps it.
func TestAHostThatAnotherHasIsNotTaken(t *testing.T) {
	t.Parallel()
	of := plan(t, objects(t, observed, governed, entry("b", "second", "api.example.com", "[{number: 443, name: http, protocol: HTTP}]"),
		entry("a", "first", "api.example.com", tls)), "a", "b")
	require.Equal(t, []string{"ServiceEntry a/first: seal", "ServiceEntry b/second: stays"}, states(of))
	assert.Equal(t, "host-conflict", of.Namespaces[1].Objects[0].Findings[0].Code)
}

// TestEverythingGoesBack to what its author wrote, entries first, and with each the rules of its hosts.
func TestEverythingGoesBack(t *testing.T) {
	t.Parallel()
	written := objects(t, governed, entry("b", "api", "api.example.com", http), entry("b", "two", "two.example.com", http),
		object("DestinationRule", "b", "two", `{host: two.example.com, exportTo: ["."], trafficPolicy: {tls: {mode: SIMPLE}}}`),
		object("VirtualService", "b", "api", `{hosts: [api.example.com], exportTo: ["."], http: [{route: [{destination: {host: api.example.com, port: {number: 80}}}]}]}`),
		entry("b", "straight", "straight.example.com", http, heldExit))
	session, _ := rehearsed(t)
	for _, object := range written[:5] {
		answer, err := session.Answer(t.Context(), object)
		require.NoError(t, err)
		require.True(t, answer.Allowed(), answer.Message)
	}
	require.NoError(t, session.Store(written[5]))
	stored, err := session.Objects()
	require.NoError(t, err)
	var held []manifest.Object
	for _, object := range stored {
		held = append(held, manifest.Object{Unstructured: object})
	}
	for name, each := range map[string]struct {
		names []string
		want  []string
		err   string
	}{
		"a namespace": {[]string{"b"}, []string{"ServiceEntry b/api", "ServiceEntry b/straight released", "ServiceEntry b/two", "DestinationRule b/two", "VirtualService b/api"}, ""},
		"all":         {nil, []string{"ServiceEntry b/api", "ServiceEntry b/straight released", "ServiceEntry b/two", "DestinationRule b/two", "VirtualService b/api"}, ""},
		"an entry":    {[]string{"b/api"}, []string{"ServiceEntry b/api", "VirtualService b/api"}, ""},
		"another":     {[]string{"b/two"}, []string{"ServiceEntry b/two", "DestinationRule b/two"}, ""},
		"nothing":     {[]string{"c", "b/three"}, nil, "there is no namespace c\nthere is no ServiceEntry b/three"},
	} {
		session, _ := rehearsed(t)
		out, err := adopt.Unseal(session, held, each.names, func(string) bool { return false })
		if each.err != "" {
			require.EqualError(t, err, each.err, name)
			continue
		}
		require.NoError(t, err, name)
		var got []string
		for _, of := range out {
			line := fmt.Sprintf("%s %s/%s", of.GetKind(), of.GetNamespace(), of.GetName())
			if of.Intent == nil {
				line += " released"
			} else {
				for _, object := range written {
					if object.GetKind() == of.GetKind() && object.GetName() == of.GetName() {
						assert.Equal(t, object.Object["spec"], of.Intent.Object["spec"], name)
					}
				}
			}
			got = append(got, line)
		}
		assert.ElementsMatch(t, each.want, got, name)
		for i := 1; i < len(got); i++ {
			assert.False(t, strings.HasPrefix(got[i-1], "VirtualService") && strings.HasPrefix(got[i], "ServiceEntry"), "%s: entries before routes: %v", name, got)
		}
	}
}

// TestWhatSharesAHostGoesBackTogether: the rules and routes of it are those of both.
func TestWhatSharesAHostGoesBackTogether(t *testing.T) {
	t.Parallel()
	session, _ := rehearsed(t)
	var held []manifest.Object
	for _, object := range objects(t, governed, entry("b", "one", "api.example.com", http), entry("b", "two", "api.example.com", http)) {
		answer, err := session.Answer(t.Context(), object)
		require.NoError(t, err)
		require.True(t, answer.Allowed(), answer.Message)
	}
	stored, err := session.Objects()
	require.NoError(t, err)
	for _, object := range stored {
		held = append(held, manifest.Object{Unstructured: object})
	}
	for names, want := range map[string]string{"b/one": "cannot go back alone", "b/one b/two": "", "b": ""} {
		session, _ := rehearsed(t)
		_, err := adopt.Unseal(session, held, strings.Fields(names), func(string) bool { return false })
		if want == "" {
			require.NoError(t, err, names)
		} else {
			require.ErrorContains(t, err, want, names)
		}
	}
}

// TestRulesGoBeforeEntriesByMutualTLS go back: those of ours, unless a wildcard of the namespace's would come in their place, those of its own, and
// the routes that have calls ask for a TLS port at another, which cross.
func TestRulesGoBeforeEntriesByMutualTLS(t *testing.T) {
	t.Parallel()
	installed, err := config.Installed()
	require.NoError(t, err)
	installed.Gateways[0].Transport = string(egress.MutualTLS)
	session := func() *dryrun.Session {
		out, err := dryrun.New(dryrun.Options{Configuration: installed, Sending: dryrun.Sending{Time: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}, Namespace: "default"})
		require.NoError(t, err)
		return out
	}
	pooled := `{host: api.example.com, exportTo: ["."], trafficPolicy: {connectionPool: {tcp: {maxConnections: 9}}`
	for name, each := range map[string]struct {
		rule, to string
		apart    bool
		want     []string
		rules    int
		crossing []string
	}{
		"none":        {"", "", false, []string{"ServiceEntry"}, 1, nil},
		"one of TCP":  {pooled + `}}`, "", false, []string{"DestinationRule", "ServiceEntry"}, 1, nil},
		"one of TLS":  {pooled + `, tls: {mode: SIMPLE}}}`, "", false, []string{"DestinationRule and", "ServiceEntry"}, 1, []string{"b of b: api.example.com:80"}},
		"a wildcard":  {`{host: "*.example.com", exportTo: ["."], trafficPolicy: {connectionPool: {tcp: {maxConnections: 9}}}}`, "", false, []string{"ServiceEntry"}, 0, []string{"b of b: api.example.com:443"}},
		"one without": {`{host: "*.example.com", exportTo: ["."]}`, "", false, []string{"ServiceEntry"}, 1, nil},
		"HTTP led to TLS": {pooled + `, portLevelSettings: [{port: {number: 443}, tls: {mode: SIMPLE}}]}}`, "443", false,
			[]string{"DestinationRule and", "VirtualService and", "ServiceEntry"}, 1, []string{"b of b: api.example.com:443"}},
		"HTTP led to the TLS of another": {pooled + `, portLevelSettings: [{port: {number: 443}, tls: {mode: SIMPLE}}]}}`, "443", true,
			[]string{"DestinationRule and", "VirtualService and", "ServiceEntry", "ServiceEntry"}, 1, []string{"b of b: api.example.com:443"}},
		"HTTP led to HTTP": {pooled + `, portLevelSettings: [{port: {number: 443}, tls: {mode: SIMPLE}}]}}`, "80", false,
			[]string{"DestinationRule and", "ServiceEntry"}, 1, nil},
	} {
		written := []string{governed, entry("b", "api", "api.example.com", "[{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]")}
		if each.apart {
			written = []string{governed, entry("b", "api", "api.example.com", "[{number: 443, name: tls, protocol: TLS}]"), entry("b", "web", "api.example.com", "[{number: 80, name: http, protocol: HTTP}]")}
		}
		if each.rule != "" {
			written = append(written, object("DestinationRule", "b", "api", each.rule))
		}
		if each.to != "" {
			written = append(written, object("VirtualService", "b", "api", `{hosts: [api.example.com], exportTo: ["."], http: [{match: [{port: 80}], route: [{destination: {host: api.example.com, port: {number: `+each.to+`}}}]}]}`))
		}
		first, held := session(), []manifest.Object{}
		for _, object := range objects(t, written...) {
			answer, err := first.Answer(t.Context(), object)
			require.NoError(t, err)
			require.True(t, answer.Allowed(), "%s: %v", name, answer.Findings)
		}
		stored, err := first.Objects()
		require.NoError(t, err)
		for _, object := range stored {
			held = append(held, manifest.Object{Unstructured: object})
		}
		out, err := adopt.Unseal(session(), held, nil, func(string) bool { return false })
		require.NoError(t, err, name)
		var got []string
		for _, of := range out {
			got = append(got, of.GetKind()+map[bool]string{true: " and"}[of.Joined])
			if of.GetKind() == "ServiceEntry" {
				assert.Len(t, of.Rules, each.rules, name)
				assert.Len(t, of.Beside, 1, name)
			}
		}
		assert.Equal(t, each.want, got, name)
		mesh, err := installed.Mesh()
		require.NoError(t, err)
		found, err := adopt.Crossings(mesh, held, out)
		require.NoError(t, err)
		assert.Equal(t, each.crossing, crossings(found), name)
	}
}

// TestARehearsalGovernsWhatIsNamed and leaves what else is observed.
func TestARehearsalGovernsWhatIsNamed(t *testing.T) {
	t.Parallel()
	_, mesh := rehearsed(t)
	set := func(name string) labels.Set {
		return labels.Set{"kubernetes.io/metadata.name": name, "egress-governor.io/mode": "Observe"}
	}
	some := mesh.Rehearsal("a")
	assert.True(t, some.Governed.Matches(set("a")) && !some.Governed.Matches(set("b")) && some.Observes(set("b")) && !some.Observes(set("a")))
	assert.True(t, mesh.Rehearsal().Governed.Matches(set("b")))
}
