package review

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestASpellingThatSidecarsDoNotKnowIsTold, of rules and Sidecars for hosts whose entries are stored in the one spelling.
func TestASpellingThatSidecarsDoNotKnowIsTold(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ kind, spec, want string }{
		{"DestinationRule", `{host: API.example.com, subsets: [{name: v1}]}`, `spec.host: sidecars know the host as "api.example.com"`},
		{"DestinationRule", `{host: api.example.com., trafficPolicy: {tls: {mode: SIMPLE}}}`, `spec.host: sidecars know the host as "api.example.com"`},
		{"DestinationRule", `{host: api.example.com, subsets: [{name: v1}]}`, ""},
		{"DestinationRule", `{host: NOBODY.example.com, subsets: [{name: v1}]}`, ""},
		{"Sidecar", `{egress: [{hosts: ["./API.example.com", "./two.example.com", "./grpc.example.com", "./*.wild.test", "./tls.example.com"]}]}`, `"api.example.com", of the namespace's own ServiceEntries, is not imported`},
	} {
		r := newReviewer()
		object := entry(t, tc.spec)
		object.SetKind(tc.kind)
		outcome, err := r.Review(t.Context(), stored(t, r, create(object)))
		require.NoError(t, err)
		assert.Empty(t, codes(outcome), tc.spec)
		told := strings.Join(outcome.Changes, "\n")
		if assert.Contains(t, told, tc.want, tc.spec); tc.want == "" {
			assert.NotContains(t, told, "spec.host: sidecars", tc.spec)
		}
	}
}
