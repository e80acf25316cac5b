package review

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/hop"
)

// TestARecordIsNotTakenAway alone: endpoints, routes and settings that somebody wrote would be gone. One that says nothing comes back.
func TestARecordIsNotTakenAway(t *testing.T) {
	t.Parallel()
	for kind, tc := range map[string]struct {
		spec    string
		refused bool
	}{
		"ServiceEntry":    {`{hosts: [new.test], resolution: STATIC, endpoints: [{address: 203.0.113.7}], ports: [{number: 443, name: tls, protocol: TLS}]}`, true},
		"DestinationRule": {`{host: api.example.com, trafficPolicy: {outlierDetection: {consecutive5xxErrors: 7}}}`, true},
		"VirtualService":  {`{hosts: [api.example.com], http: [{route: [{destination: {host: api.example.com, port: {number: 80}}}]}]}`, true},
	} {
		r := newReviewer()
		in := entry(t, tc.spec)
		in.SetKind(kind)
		first := stored(t, r, create(in))
		require.Contains(t, first.Object.GetAnnotations(), hop.IntentAnnotation, kind)

		again := first
		again.Operation, again.Old, again.Object = Update, first.Object, first.Object.DeepCopy()
		again.Object.SetAnnotations(nil)
		_, err := r.Rewrite(again)
		var refusals Refusals
		require.ErrorAs(t, err, &refusals, kind)
		assert.Equal(t, "intent-annotation", refusals[0].Code)
		outcome, err := r.Review(t.Context(), again)
		require.NoError(t, err)
		assert.Equal(t, []string{"intent-annotation metadata.annotations[egress-governor.io/intent]"}, codes(outcome), kind)

		again.Object = in
		assert.Equal(t, first.Object.Object["spec"], stored(t, r, again).Object.Object["spec"], "%s: who writes his manifest anew says what he means", kind)
	}
}
