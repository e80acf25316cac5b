package review

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
)

// aged is a VirtualService of namespace/name that was made at a second, at 0 not yet.
func aged(t *testing.T, namespace, name, spec string, second int64) *unstructured.Unstructured {
	t.Helper()
	out := routes(t, spec)
	out.SetNamespace(namespace)
	out.SetName(name)
	if second > 0 {
		out.SetCreationTimestamp(metav1.NewTime(time.Unix(second, 0)))
	}
	return out
}

const (
	toAPI = "http: [{route: [{destination: {host: api.example.com}}]}]"
	older = "that one counts, which is older, and these routes are without effect"
)

// TestTwoVirtualServicesOfOneHostAreToldOf as Istio goes by them: routing cases routes/two-of-one-host* show the same of its generator.
func TestTwoVirtualServicesOfOneHostAreToldOf(t *testing.T) {
	t.Parallel()
	both := "{hosts: [api.example.com], " + toAPI + "}"
	for name, tc := range map[string]struct {
		// is is what is written, beside others that are stored; made is the second in which it was made.
		is   string
		made int64
		// namespace and name are the other's, payments and "other" by default, spec is its own, both by default.
		namespace, name, spec string
		want                  string
	}{
		"not stored yet":                {want: older},
		"the younger":                   {made: 101, want: older},
		"the older":                     {made: 99, want: "this one counts, which is older, and the routes of that one are without effect from now on"},
		"of one second, the later name": {made: 100, want: "that one counts, which was made in the same second and comes first by its name"},
		"of one second, the first name": {made: 100, name: "y", want: "this one counts, which was made in the same second and comes first by its name"},
		"other spelling":                {is: "{hosts: [API.example.com], " + toAPI + "}", want: `host "API.example.com" is in VirtualService payments/other, too`},
		"among other hosts":             {is: "{hosts: [tls.example.com, api.example.com], http: [{directResponse: {status: 503}}]}", want: `spec.hosts[1]: host "api.example.com"`},
		"no other host":                 {is: "{hosts: [two.example.com], " + toAPI + "}"},
		"a wildcard over it":            {spec: `{hosts: ["*.example.com"], ` + toAPI + "}"},
		"one wildcard":                  {is: `{hosts: ["*.wild.test"], http: [{directResponse: {status: 503}}]}`, spec: `{hosts: ["*.wild.test"], tcp: [{route: [{destination: {host: a.wild.test}}]}]}`, want: older},
		"nobody has it":                 {is: "{hosts: [new.example.com], " + toAPI + "}", spec: "{hosts: [new.example.com], " + toAPI + "}"},
		"a Service":                     {is: "{hosts: [local], " + toAPI + "}", spec: "{hosts: [local], " + toAPI + "}"},
		"of gateways alone":             {spec: "{hosts: [api.example.com], gateways: [ingress], " + toAPI + "}"},
		"written of gateways alone":     {is: "{hosts: [api.example.com], gateways: [ingress], http: [{route: [{destination: {host: local}}]}]}"},
		"of gateways and the mesh":      {spec: "{hosts: [api.example.com], gateways: [mesh, ingress], " + toAPI + "}", want: older},
		"its routes of gateways alone":  {spec: "{hosts: [api.example.com], gateways: [mesh, ingress], http: [{match: [{gateways: [ingress]}], route: [{destination: {host: api.example.com}}]}]}"},
		"of some pods":                  {spec: "{hosts: [api.example.com], http: [{match: [{sourceLabels: {app: a}}], route: [{destination: {host: api.example.com}}]}]}"},
		"of some paths":                 {spec: "{hosts: [api.example.com], http: [{match: [{uri: {prefix: /a}}], route: [{destination: {host: api.example.com}}]}]}", want: older},
		"of another port":               {spec: "{hosts: [api.example.com], http: [{match: [{port: 8080}], route: [{destination: {host: api.example.com}}]}]}"},
		"of TLS alone":                  {spec: "{hosts: [api.example.com], tls: [{match: [{sniHosts: [api.example.com]}], route: [{destination: {host: api.example.com}}]}]}"},
		"of one port, and it has two": {
			is:   "{hosts: [api.example.com], " + toAPI + ", tls: [{match: [{sniHosts: [api.example.com]}], route: [{destination: {host: api.example.com}}]}]}",
			want: older + " at port 80",
		},
		"of TLS alike": {
			is:   "{hosts: [tls.example.com], tls: [{match: [{sniHosts: [tls.example.com]}], route: [{destination: {host: tls.example.com}}]}]}",
			spec: "{hosts: [tls.example.com], tls: [{match: [{port: 443, sniHosts: [tls.example.com]}], route: [{destination: {host: tls.example.com}}]}]}", want: older,
		},
		"of TLS to some addresses": {
			is:   "{hosts: [tls.example.com], tls: [{match: [{sniHosts: [tls.example.com]}], route: [{destination: {host: tls.example.com}}]}]}",
			spec: "{hosts: [tls.example.com], tls: [{match: [{destinationSubnets: [192.0.2.0/24], sniHosts: [tls.example.com]}], route: [{destination: {host: tls.example.com}}]}]}",
		},
		"exported to others by name":                  {spec: "{hosts: [api.example.com], exportTo: [shop], " + toAPI + "}", want: "that one counts, whose exportTo names the namespace, and these routes are without effect for calls of namespace shop"},
		"its own namespace's beside it":               {made: 99, spec: `{hosts: [api.example.com], exportTo: ["."], ` + toAPI + "}", want: "whose exportTo names the namespace, and these routes are without effect for calls of namespace payments"},
		"both for the same others":                    {is: "{hosts: [api.example.com], exportTo: [shop, till], " + toAPI + "}", spec: "{hosts: [api.example.com], exportTo: [till], " + toAPI + "}", want: older + " for calls of namespace till"},
		"its own namespace's alone":                   {is: `{hosts: [api.example.com], exportTo: ["."], ` + toAPI + "}"},
		"for nobody":                                  {spec: `{hosts: [api.example.com], exportTo: ["~"], ` + toAPI + "}"},
		"for others alone":                            {is: `{hosts: [api.example.com], exportTo: ["."], ` + toAPI + "}", spec: "{hosts: [api.example.com], exportTo: [shop], " + toAPI + "}"},
		"another namespace's own":                     {namespace: "shop", spec: `{hosts: [api.example.com], exportTo: ["."], ` + toAPI + "}"},
		"another namespace's exported":                {namespace: "shop", want: `set exportTo: ["."]`},
		"its own before another namespace's exported": {is: `{hosts: [api.example.com], exportTo: ["."], ` + toAPI + "}", namespace: "shop"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			other := aged(t, orElse(tc.namespace, "payments"), orElse(tc.name, "other"), orElse(tc.spec, both), 100)
			view := egresstest.NewCluster()
			view.Bindings = []*egress.Binding{{Namespace: "payments", Name: "ingress", Selector: map[string]string{"istio": "ingress"}}}
			r := &Reviewer{Mesh: egresstest.Mesh(), View: view, Policies: &policies{}}
			if rival := egress.ReadRival(other, r.Mesh); rival != nil {
				view.Stored = append(view.Stored, rival)
			}
			req := create(aged(t, "payments", "x", orElse(tc.is, both), tc.made))
			outcome, err := r.Review(t.Context(), req)
			require.NoError(t, err)
			assert.Equal(t, Allowed, outcome.Verdict, "people rename routes by applying the new before the old is gone")
			told := outcome.Of(Warned)
			if tc.want == "" {
				assert.Empty(t, told)
				return
			}
			require.Len(t, told, 1)
			assert.Equal(t, "duplicate-routes", told[0].Code)
			assert.Contains(t, told[0].Sentence(), tc.want)
			assert.NotEmpty(t, told[0].Fix)
			assert.Contains(t, outcome.Warnings(), told[0].OneLine())
		})
	}
}

func orElse(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// TestWhoLostAlreadyIsNotToldOfAgain: what a write changes is told of it, and what stands of whoever it stands against.
func TestWhoLostAlreadyIsNotToldOfAgain(t *testing.T) {
	t.Parallel()
	both := "{hosts: [api.example.com], " + toAPI + "}"
	view := egresstest.NewCluster()
	r := &Reviewer{Mesh: egresstest.Mesh(), View: view, Policies: &policies{}}
	for second, name := range []string{"x", "second", "third"} {
		view.Stored = append(view.Stored, egress.ReadRival(aged(t, "payments", name, both, int64(second+1)), r.Mesh))
	}
	told := func(req Request) (out []string) {
		outcome, err := r.Review(t.Context(), req)
		require.NoError(t, err)
		for _, finding := range outcome.Of(Warned) {
			out = append(out, finding.Message)
		}
		return out
	}
	update := create(aged(t, "payments", "x", both, 1))
	update.Operation, update.Old = Update, update.Object.DeepCopy()
	assert.Empty(t, told(update), "the others were without effect before")
	update.Old = aged(t, "payments", "x", "{hosts: [two.example.com], "+toAPI+"}", 1)
	got := told(update)
	require.Len(t, got, 1, "the third was without effect before, by the second")
	assert.Contains(t, got[0], "VirtualService payments/second")

	third := create(aged(t, "payments", "third", both, 3))
	third.Name, third.Operation, third.Old = "third", Update, third.Object.DeepCopy()
	got = told(third)
	require.Len(t, got, 1, "the second does not count either")
	assert.Contains(t, got[0], "VirtualService payments/x")

	audited := create(aged(t, "payments", "x", both, 1))
	audited.Operation = Audit
	assert.Empty(t, told(audited), "the one that counts is in order")
	audited.Object, audited.Name = aged(t, "payments", "second", both, 2), "second"
	assert.Len(t, told(audited), 1)
}

// TestWhatIsNotStoredIsNotToldOf: routes that are refused take nobody's calls.
func TestWhatIsNotStoredIsNotToldOf(t *testing.T) {
	t.Parallel()
	view := egresstest.NewCluster()
	r := &Reviewer{Mesh: egresstest.Mesh(), View: view, Policies: &policies{}}
	view.Stored = []*egress.Rival{egress.ReadRival(aged(t, "payments", "other", "{hosts: [api.example.com], "+toAPI+"}", 1), r.Mesh)}
	outcome, err := r.Review(t.Context(), create(routes(t, "{hosts: [api.example.com], http: [{route: [{destination: {host: two.example.com}}], mirror: {host: grpc.example.com}}]}")))
	require.NoError(t, err)
	assert.Equal(t, Refused, outcome.Verdict)
	assert.Empty(t, outcome.Of(Warned))
}

// TestWhatIsToldOfManyHostsIsBounded.
func TestWhatIsToldOfManyHostsIsBounded(t *testing.T) {
	t.Parallel()
	view, hosts := egresstest.NewCluster(), ""
	for i := range 200 {
		host := fmt.Sprintf("h%d.test", i)
		view.Known = append(view.Known, egresstest.Sealed(host, egress.Port{Number: 80, Name: "http", Protocol: "HTTP"}))
		hosts += host + ", "
	}
	r := &Reviewer{Mesh: egresstest.Mesh(), View: view, Policies: &policies{}}
	spec := "{hosts: [" + hosts + "], " + toAPI + "}"
	view.Stored = []*egress.Rival{egress.ReadRival(aged(t, "payments", "other", spec, 1), r.Mesh)}
	assert.Len(t, rivals(&subject{Request: create(routes(t, spec)), Reviewer: r}), MaxReasons)
}
