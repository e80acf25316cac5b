package review

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

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
