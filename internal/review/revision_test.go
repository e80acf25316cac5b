package review

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestWhatIstiodOverlooksIsRefused, of every kind that leads calls; what policies alone look at is theirs.
func TestWhatIstiodOverlooksIsRefused(t *testing.T) {
	t.Parallel()
	for kind, spec := range map[string]string{
		"ServiceEntry":    https,
		"VirtualService":  `{hosts: [local], http: [{route: [{destination: {host: local}}]}]}`,
		"DestinationRule": `{host: local.payments.svc.cluster.local}`,
		"Gateway":         `{selector: {app: ingress}, servers: []}`,
		"Sidecar":         `{egress: [{hosts: ["*/*"]}]}`,
		"EnvoyFilter":     `{}`,
	} {
		r := newReviewer()
		in := entry(t, spec)
		in.SetKind(kind)
		in.SetLabels(map[string]string{revisionLabel: "canary"})
		first := stored(t, r, create(in))
		outcome, err := r.Review(t.Context(), first)
		require.NoError(t, err)
		want := []string{"revision-label metadata.labels[istio.io/rev]"}
		if kind == "EnvoyFilter" {
			want = nil
		}
		assert.Equal(t, want, codes(outcome), kind)

		again := first
		again.Operation, again.Old, again.Object = Update, first.Object, first.Object.DeepCopy()
		again.Object.SetAnnotations(map[string]string{"note": "x"})
		again = stored(t, r, again)
		outcome, err = r.Review(t.Context(), again)
		require.NoError(t, err)
		assert.Empty(t, codes(outcome), "%s: what is stored already keeps nobody from writing the rest", kind)

		again.Old = first.Object.DeepCopy()
		again.Old.SetLabels(nil)
		outcome, err = r.Review(t.Context(), again)
		require.NoError(t, err)
		assert.Equal(t, want, codes(outcome), kind)
	}
}
