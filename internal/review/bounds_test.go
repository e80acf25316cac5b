package review

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
)

// list is one of so many, with a number for each N.
func list(n int, format string) string {
	out := make([]string, n)
	for i := range out {
		out[i] = strings.ReplaceAll(format, "N", fmt.Sprint(i+1))
	}
	return "[" + strings.Join(out, ", ") + "]"
}

// TestWhatAnObjectHadItMayHave: a count that was not bounded once keeps nobody from writing what is stored, and from making it less.
func TestWhatAnObjectHadItMayHave(t *testing.T) {
	t.Parallel()
	hosts := func(n int) *unstructured.Unstructured {
		return routes(t, "{hosts: "+list(n, "hN.test")+", http: [{route: [{destination: {host: web}}]}]}")
	}
	settings := func(n int) *unstructured.Unstructured {
		return object(t, "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: x, namespace: payments}\nspec: {host: web, trafficPolicy: {portLevelSettings: "+list(300, "{port: {number: N}}")+
			"}, subsets: [{name: b}, {name: a, trafficPolicy: {portLevelSettings: "+list(n-300, "{port: {number: N}}")+"}}]}")
	}
	text := func(n int) *unstructured.Unstructured {
		return routes(t, "{hosts: [a.test], http: [{directResponse: {status: 200, body: {string: "+strings.Repeat("s", n)+"}}}]}")
	}
	exported := func(format string) func(n int) *unstructured.Unstructured {
		return func(n int) *unstructured.Unstructured {
			return object(t, strings.ReplaceAll(format, "EXPORT", list(n, "nN")))
		}
	}
	const exportTo = "too-large spec.exportTo"
	for name, tc := range map[string]struct {
		of   func(n int) *unstructured.Unstructured
		most int
		code string
	}{
		"an entry's namespaces": {exported("apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: x, namespace: payments}\nspec: {hosts: [a.test], exportTo: EXPORT, resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}"), maxExportTo, exportTo},
		"routes' namespaces":    {exported("apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: x, namespace: payments}\nspec: {hosts: [web], exportTo: EXPORT, http: [{route: [{destination: {host: web}}]}]}"), maxExportTo, exportTo},
		"a rule's namespaces":   {exported("apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: x, namespace: payments}\nspec: {host: web, exportTo: EXPORT}"), maxExportTo, exportTo},
		"hosts":                 {hosts, maxRouteHosts, "too-large spec.hosts"}, "settings": {settings, maxPortSettings, "too-large spec.trafficPolicy.portLevelSettings"}, "text": {text, maxText, "too-large spec"},
	} {
		r := &Reviewer{Mesh: egresstest.Mesh(), View: egresstest.NewCluster(), Policies: &policies{}}
		update := func(from, to int) []string {
			req := create(tc.of(to))
			req.Operation, req.Old = Update, tc.of(from)
			req.Object.SetAnnotations(map[string]string{"team": "a"})
			out, err := r.Review(t.Context(), stored(t, r, req))
			require.NoError(t, err, name)
			return codes(out)
		}
		assert.Empty(t, update(tc.most+2, tc.most+2), name)
		assert.Empty(t, update(tc.most+2, tc.most+1), name)
		for from, to := range map[int]int{tc.most: tc.most + 1, tc.most + 1: tc.most + 2} {
			req := create(tc.of(to))
			req.Operation, req.Old = Update, tc.of(from)
			out, err := r.Review(t.Context(), req)
			require.NoError(t, err, name)
			assert.Equal(t, []string{tc.code}, codes(out), name)
		}
		out, err := r.Review(t.Context(), create(tc.of(tc.most+1)))
		require.NoError(t, err, name)
		assert.Equal(t, []string{tc.code}, codes(out), name)
		out, err = r.Review(t.Context(), stored(t, r, create(tc.of(tc.most))))
		require.NoError(t, err, name)
		assert.Empty(t, codes(out), name)
	}
}

// TestWorkIsBoundedBeforeItBegins: a manifest of two long lists is refused without a question to the cluster.
func TestWorkIsBoundedBeforeItBegins(t *testing.T) {
	t.Parallel()
	toGateway := "{route: [{destination: {host: " + egresstest.GatewayService + "}}]}"
	for name, object := range map[string]string{
		"hosts and routes":       "{hosts: " + list(1000, "hN.test") + ", http: " + list(1000, toGateway) + "}",
		"hosts and destinations": "{hosts: " + list(1000, "hN.test") + ", http: [{route: " + list(51, "{destination: {host: x.test}}") + "}]}",
	} {
		view := egresstest.NewCluster()
		r := &Reviewer{Mesh: egresstest.Mesh(), View: view, Policies: &policies{}}
		req := create(routes(t, object))
		_, err := r.Rewrite(req)
		require.Error(t, err, name)
		outcome, err := r.Review(t.Context(), req)
		require.NoError(t, err, name)
		assert.Equal(t, Refused, outcome.Verdict, name)
		assert.Equal(t, "too-large spec.hosts", outcome.Findings[0].Code+" "+outcome.Findings[0].Field, name)
		assert.Zero(t, view.Asked, name)
	}
	endpoints := entry(t, "{hosts: "+list(256, "hN.test")+", endpoints: "+list(200, "{address: 192.0.2.N}")+"}")
	assert.NotEmpty(t, boundEntry(endpoints))
	assert.NotEmpty(t, boundEntry(entry(t, "{hosts: "+list(256, "hN.test")+", exportTo: "+list(200, "nN")+"}")))
	assert.Empty(t, boundEntry(entry(t, "{hosts: "+list(256, "hN.test")+", ports: "+list(128, "{number: N}")+"}")))
	assert.Empty(t, slices.Concat(boundRoutes(routes(t, "{}")), boundEntry(entry(t, "null"))))
}

// TestNamesOfManyLabelsAreBounded: a manifest that the API server takes is not looked at where what policies are shown of its
// names would be hundreds of times as large; nor is one of more values than people write, whatever its kind.
func TestNamesOfManyLabelsAreBounded(t *testing.T) {
	t.Parallel()
	name := strings.Repeat("a.", 120) + "test"
	hosts := make([]string, 1000)
	for i := range hosts {
		hosts[i] = fmt.Sprintf("h%d.%s", i, name)
	}
	text := "{x: " + strings.Repeat("s", maxText+1) + "}"
	names, values := "{x: ["+strings.Join(hosts, ", ")+"]}", "{x: ["+strings.Repeat("{}, ", maxPairs)+"]}"
	for kind, row := range kinds {
		for what, spec := range map[string]string{"names": names, "values": values, "text": text} {
			asked := &policies{}
			r := &Reviewer{Mesh: egresstest.Mesh(), View: egresstest.NewCluster(), Policies: asked}
			req := create(object(t, "apiVersion: "+row.group+"/v1\nkind: "+kind+"\nmetadata: {name: x, namespace: payments}\nspec: "+spec))
			_, err := r.Rewrite(req)
			require.Error(t, err, "%s of %s", what, kind)
			outcome, err := r.Review(t.Context(), req)
			require.NoError(t, err)
			assert.Equal(t, []string{"too-large spec"}, codes(outcome), "%s of %s", what, kind)
			assert.Empty(t, asked.asked, "policies are not shown it either")
		}
	}
	written := routes(t, "{hosts: [a.test], http: [{match: [{uri: {prefix: /}}], route: [{destination: {host: api.example.com}}]}]}")
	fields := make([]any, maxPairs)
	written.SetManagedFields(nil)
	require.NoError(t, unstructured.SetNestedField(written.Object, fields, "metadata", "managedFields"))
	assert.Empty(t, boundContent(written, nil), "what the API server notes is nobody's")
}

// TestANamespaceHasSoManyHosts: the objects that its exits take are bounded, and what is stored may be written.
func TestANamespaceHasSoManyHosts(t *testing.T) {
	t.Parallel()
	mesh := egresstest.Mesh()
	mesh.MaxHosts = 3
	known := egresstest.Sealed("a.test", egress.Port{Number: 443, Name: "tls", Protocol: "TLS"})
	known.Hosts = []string{"a.test", "b.test"}
	r := &Reviewer{Mesh: mesh, View: &egresstest.Cluster{Known: []*egress.Entry{known}}, Policies: &policies{}}
	const ports = ", resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}"
	for hosts, want := range map[string][]string{"[c.test]": nil, "[c.test, d.test]": {"too-many-hosts spec.hosts"}} {
		outcome, err := r.Review(t.Context(), stored(t, r, create(entry(t, "{hosts: "+hosts+ports))))
		require.NoError(t, err)
		assert.Equal(t, want, codes(outcome), hosts)
	}
	req := stored(t, r, create(entry(t, "{hosts: [c.test, d.test]"+ports)))
	req.Operation, req.Old = Update, req.Object.DeepCopy()
	outcome, err := r.Review(t.Context(), req)
	require.NoError(t, err)
	assert.Empty(t, codes(outcome))
}

// BenchmarkLargestRoutes is the largest VirtualService that is looked at.
func BenchmarkLargestRoutes(b *testing.B) {
	var hosts, list []string
	for i := range 223 {
		hosts = append(hosts, fmt.Sprintf("h%d.test", i))
		list = append(list, "{route: [{destination: {host: "+egresstest.GatewayService+"}}]}")
	}
	r := &Reviewer{Mesh: egresstest.Mesh(), View: egresstest.NewCluster(), Policies: &policies{}}
	req := create(routes(b, "{hosts: ["+strings.Join(hosts, ", ")+"], http: ["+strings.Join(list, ", ")+"]}"))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Review(b.Context(), req); err != nil {
			b.Fatal(err)
		}
	}
}
