package review

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/policy"
)

// TestAnswersNameThePageOfACode, once each: of what we say and the library, and where a policy has no page of its own.
func TestAnswersNameThePageOfACode(t *testing.T) {
	t.Parallel()
	of := func(url string) string {
		mesh := egresstest.Mesh()
		mesh.DocsURL = url
		r := &Reviewer{Mesh: mesh, View: egresstest.NewCluster(), Policies: &policies{decision: policy.Decision{
			Denied: []policy.Violation{
				{Policy: "hosts", Library: "allowed-hosts", Code: "host-not-allowed", Field: "spec.hosts[0]", Message: "no"},
				{Policy: "hosts", Library: "allowed-hosts", Code: "host-not-allowed", Field: "spec.hosts[1]", Message: "no"},
				{Policy: "mine", Code: "host-not-allowed", Message: "my own"},
				{Policy: "ports", Library: "allowed-ports", Code: "port-not-allowed", Message: "no", Docs: "https://wiki.test"},
			},
			Warned: []policy.Violation{{Policy: "tls", Library: "tls-only", Code: "not-tls", Message: "clear"}},
		}}}
		outcome, err := r.Review(t.Context(), create(entry(t, `{hosts: ["*.new.test", "*.other.test"], resolution: DNS, ports: [{number: 443, name: a, protocol: TLS}]}`)))
		require.NoError(t, err)
		return outcome.Message() + "\n" + strings.Join(outcome.Warnings(), "\n")
	}
	text := of("https://docs.test/{code}.html")
	for _, page := range []string{"Docs: https://docs.test/host-not-allowed.html", "Docs: https://docs.test/bare-wildcard.html", "Docs: https://docs.test/not-tls.html", "Docs: https://wiki.test"} {
		assert.Equal(t, 1, strings.Count(text, page), "%s in\n%s", page, text)
	}
	assert.Equal(t, 4, strings.Count(text, "Docs: "), text)
	assert.Equal(t, 1, strings.Count(of(""), "Docs: "), "none but the policy's own")
}
