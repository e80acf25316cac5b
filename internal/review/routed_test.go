package review

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
)

// TestNoEntryMakesStoredRoutesLeadAstray: they ask for another host, by which the gateway would go. Routes of other namespaces are
// for calls by entries of their own, and the fix is one that can be written.
func TestNoEntryMakesStoredRoutesLeadAstray(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ of, host, fix string }{
		"its own":     {"payments", "new.test", "first set headers.request.set.host: new.test beside that destination there; where it is a mirror, or of a TLS port, take it out"},
		"of wildcard": {"payments", "*.new.test", "first set headers.request.set.host beside that destination there, to a name below *.new.test; where it is a mirror, or of a TLS port, take it out"},
		"of another":  {"other", "new.test", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newReviewer()
			r.View.(*egresstest.Cluster).Strays = map[string][]*egress.Seen{tc.host: {{Namespace: tc.of, Name: "routes"}}}
			spec := `{hosts: ["` + tc.host + `"], resolution: DNS, endpoints: [{address: www.new.test}], ports: [{number: 80, name: http, protocol: HTTP}]}`
			outcome, err := r.Review(t.Context(), stored(t, r, create(entry(t, spec))))
			require.NoError(t, err)
			if tc.fix == "" {
				assert.Empty(t, codes(outcome))
				return
			}
			require.Equal(t, []string{"other-host spec.hosts[0]"}, codes(outcome))
			assert.Equal(t, tc.fix, outcome.Findings[0].Fix)
			assert.Contains(t, outcome.Findings[0].Message, "VirtualService payments/routes")
		})
	}
}

// TestAnEntrySaysWhatItsRoutesWouldBeRefusedFor: whichever of the two is written first, the other is not stored.
func TestAnEntrySaysWhatItsRoutesWouldBeRefusedFor(t *testing.T) {
	t.Parallel()
	const both, tls, two = "{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}", "{number: 443, name: tls, protocol: TLS}", "{number: 80, name: http, protocol: HTTP}, {number: 443, name: alt, protocol: HTTP}"
	for name, tc := range map[string]struct {
		needs     egress.Need
		of, ports string
		mutual    bool
		want      string
	}{
		"a TLS port":                  {egress.NeedsTLS, "payments", both, false, "port-mapping spec.ports[1].number"},
		"routes of another namespace": {egress.NeedsTLS, "other", both, false, ""},
		"it takes HTTP":               {egress.NeedsTLS, "payments", two, false, ""},
		"by mutual TLS":               {egress.NeedsTLS, "payments", tls, true, "port-mapping spec.ports[0].number"},
		"one of two HTTP ports":       {egress.NeedsSeveral, "payments", two, false, "port-mapping spec.ports[1].number"},
		"the only one":                {egress.NeedsSeveral, "payments", "{number: 443, name: http, protocol: HTTP}", false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			finding := leadAstray(t, egress.Mapping{Host: "new.test", Port: 443, Needs: tc.needs}, tc.of, tc.ports, tc.mutual, tc.want)
			if tc.want != "" {
				assert.Contains(t, finding.Message, "VirtualService payments/routes leads HTTP calls to port 443 of host")
			}
		})
	}
}

// leadAstray has routes of a namespace stored that lead to new.test, and an entry of that host reviewed, which must be refused for what is wanted:
// it returns the first finding, none where nothing is. An entry that is stored already is not refused.
func leadAstray(t *testing.T, by egress.Mapping, namespace, ports string, mutual bool, want string) Finding {
	t.Helper()
	r := newReviewer()
	if mutual {
		r.Mesh = egresstest.MutualTLS()
	}
	r.View.(*egresstest.Cluster).Maps = map[egress.Mapping][]*egress.Seen{by: {{Namespace: namespace, Name: "routes"}}}
	req := stored(t, r, create(entry(t, `{hosts: [new.test], resolution: DNS, ports: [`+ports+`]}`)))
	refused, err := r.Review(t.Context(), req)
	require.NoError(t, err)
	require.Equal(t, want, strings.Join(codes(refused), ", "))
	if want == "" {
		return Finding{}
	}
	req.Operation, req.Old = Update, req.Object.DeepCopy()
	require.NoError(t, unstructured.SetNestedStringSlice(req.Object.Object, []string{"*"}, "spec", "exportTo"))
	outcome, err := r.Review(t.Context(), req)
	require.NoError(t, err)
	assert.Empty(t, codes(outcome), "what is stored already is not refused")
	return refused.Findings[0]
}

// TestRoutesByOneOfTwoPortsStandBeforeTheSecond: while there was one HTTP port they led nowhere else.
func TestRoutesByOneOfTwoPortsStandBeforeTheSecond(t *testing.T) {
	t.Parallel()
	const one = `{hosts: [new.test], resolution: DNS, ports: [{number: 443, name: alt, protocol: HTTP}]}`
	r := newReviewer()
	r.View.(*egresstest.Cluster).Maps = map[egress.Mapping][]*egress.Seen{{Host: "new.test", Port: 443, Needs: egress.NeedsSeveral}: {{Namespace: "payments", Name: "routes"}}}
	old := stored(t, r, create(entry(t, one))).Object
	req := create(entry(t, strings.Replace(one, "ports: [", "ports: [{number: 80, name: http, protocol: HTTP}, ", 1)))
	req.Operation, req.Old = Update, old
	outcome, err := reviewed(t, r, req)
	require.NoError(t, err)
	assert.Equal(t, []string{"port-mapping spec.ports[1].number"}, codes(outcome))
}

// TestAnEntryHasWhatStoredRoutesLeadToUnderAnotherName only where the gateway can tell: the SNI says another host to a gateway by Plain, and of
// several HTTP ports nothing says which. What is stored already stays.
func TestAnEntryHasWhatStoredRoutesLeadToUnderAnotherName(t *testing.T) {
	t.Parallel()
	const tls, http, two = "{number: 443, name: tls, protocol: TLS}", "{number: 80, name: http, protocol: HTTP}", "{number: 80, name: http, protocol: HTTP}, {number: 8080, name: alt, protocol: HTTP}"
	for name, tc := range map[string]struct {
		needs     egress.Need
		of, ports string
		mutual    bool
		want, fix string
	}{
		"SNI":                     {egress.NeedsBySNI, "payments", tls, false, "other-host spec.hosts[0]", `let clients call "new.test"`},
		"SNI, by mutual TLS":      {egress.NeedsBySNI, "payments", tls, true, "", ""},
		"SNI of another's routes": {egress.NeedsBySNI, "other", tls, false, "", ""},
		"no TLS":                  {egress.NeedsBySNI, "payments", http, false, "", ""},
		"several ports":           {egress.NeedsSeveral, "payments", two, false, "other-host spec.ports[1].number", "first set port.number in that destination there, to 80 or another"},
		"several, by mutual TLS":  {egress.NeedsSeveral, "payments", two, true, "other-host spec.ports[1].number", "first set port.number"},
		"of another's routes":     {egress.NeedsSeveral, "other", two, false, "", ""},
		"one port":                {egress.NeedsSeveral, "payments", http, false, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			finding := leadAstray(t, egress.Mapping{Host: "new.test", Needs: tc.needs}, tc.of, tc.ports, tc.mutual, tc.want)
			assert.Contains(t, finding.Fix, tc.fix)
		})
	}
}

// TestAnEntryStaysWhereStoredRoutesLead: at a gateway by mutual TLS that is told the port, while one by Plain, or a name that it resolves, would go
// by the SNI.
func TestAnEntryStaysWhereStoredRoutesLead(t *testing.T) {
	t.Parallel()
	const served = `{hosts: ["*.new.test"], resolution: DNS, endpoints: [{address: www.new.test}], ports: [{number: 443, name: tls, protocol: TLS}]}`
	reviewer := func(mesh *egress.Mesh) *Reviewer {
		mesh.Gateways[0].Wildcards = true
		r := newReviewer()
		r.Mesh = mesh
		r.View.(*egresstest.Cluster).Maps = map[egress.Mapping][]*egress.Seen{{Host: "*.new.test", Needs: egress.NeedsBySNI}: {{Namespace: "payments", Name: "routes"}}}
		return r
	}
	mutual := reviewer(egresstest.MutualTLS())
	old := stored(t, mutual, create(entry(t, served))).Object
	for name, tc := range map[string]struct {
		by   *Reviewer
		spec string
		want []string
	}{
		"as it was":        {mutual, served, nil},
		"by Plain":         {reviewer(egresstest.Mesh()), served, []string{"other-host spec.hosts[0]"}},
		"without its host": {mutual, strings.Replace(served, "endpoints: [{address: www.new.test}], ", "", 1), []string{"other-host spec.hosts[0]"}},
	} {
		req := create(entry(t, tc.spec))
		req.Operation, req.Old = Update, old
		outcome, err := reviewed(t, tc.by, req)
		require.NoError(t, err)
		assert.Equal(t, tc.want, codes(outcome), name)
	}
}
