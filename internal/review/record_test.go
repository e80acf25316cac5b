package review

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// TestARecordHidesNothingFromPolicies: what it says an author wrote is what policies read, so that nothing may be stored beside it
// but what a rewrite puts there.
func TestARecordHidesNothingFromPolicies(t *testing.T) {
	t.Parallel()
	const asksForEvil = `{destination: {host: two.example.com}, headers: {request: {set: {Host: two.example.com}}}}`
	for name, tc := range map[string]struct{ route, record string }{
		"a destination": {`{destination: {host: two.example.com}}`, `[{"was":{"host":"api.example.com"},"now":{"host":"two.example.com"},"paths":["spec.http[0].route[0].destination"]}]`},
		"a Host header": {asksForEvil, `[{"now":{"request":{"set":{"Host":"two.example.com"}}},"paths":["spec.http[0].route[0].headers"]}]`},
	} {
		r := newReviewer()
		object := routes(t, `{hosts: [in.payments.svc.cluster.local], http: [{route: [`+tc.route+`]}]}`)
		outcome, err := r.Review(t.Context(), create(object))
		require.NoError(t, err)
		assert.NotContains(t, codes(outcome), "not-injected metadata.annotations[egress-governor.io/intent]", name)
		object.SetAnnotations(map[string]string{hop.IntentAnnotation: tc.record})
		outcome, err = r.Review(t.Context(), create(object))
		require.NoError(t, err)
		assert.Equal(t, Refused, outcome.Verdict, name)
	}
	public := routes(t, `{hosts: [api.example.com], exportTo: ["*"], http: [{route: [{destination: {host: api.example.com}}]}]}`)
	public.SetAnnotations(map[string]string{hop.IntentAnnotation: `[{"was":["."],"now":["*"],"paths":["spec.exportTo"]}]`})
	outcome, err := newReviewer().Review(t.Context(), create(public))
	require.NoError(t, err)
	assert.Equal(t, []string{"not-injected metadata.annotations[egress-governor.io/intent]"}, codes(outcome))
}

// TestALedEntryIsStoredAsItsRecordSays: by routes alone, a record beside an entry that is still sealed hides no other host.
func TestALedEntryIsStoredAsItsRecordSays(t *testing.T) {
	t.Parallel()
	r, _ := byRoutes()
	sealed := stored(t, newReviewer(), create(entry(t, https))).Object
	sealed.Object["spec"].(map[string]any)["hosts"] = []any{"taken.example.com"}
	sealed.SetAnnotations(map[string]string{hop.IntentAnnotation: `[{"was":["new.example.com"],"now":["taken.example.com"],"paths":["spec.hosts"]}]`})
	outcome, err := r.Review(t.Context(), create(sealed))
	require.NoError(t, err)
	assert.Equal(t, []string{"not-sealed spec.endpoints"}, codes(outcome))
	assert.Equal(t, egresstest.GatewayService, listOf(sealed, "endpoints")[0].(map[string]any)["address"])
}
