package review

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
)

// TestAProtocolThatNumberOrNameContradictIsTold, and nothing of a port that is meant so.
func TestAProtocolThatNumberOrNameContradictIsTold(t *testing.T) {
	t.Parallel()
	for port, want := range map[string]string{
		`{number: 443, name: https, protocol: HTTP}`:                 "if apps open TLS, declare TLS",
		`{number: 443, name: http, protocol: HTTP2}`:                 "if apps open TLS, declare TLS",
		`{number: 8443, name: https-api, protocol: HTTP}`:            "if apps open TLS, declare TLS",
		`{number: 8443, name: tls, protocol: GRPC}`:                  "if apps open TLS, declare TLS",
		`{number: 80, name: http, protocol: HTTPS}`:                  "if apps call in clear, declare HTTP",
		`{number: 8080, name: grpc, protocol: TLS}`:                  "if apps call in clear, declare HTTP",
		`{number: 443, name: http, protocol: HTTPS}`:                 "",
		`{number: 80, name: https, protocol: HTTP}`:                  "",
		`{number: 443, name: https, protocol: HTTP, targetPort: 80}`: "",
		`{number: 80, name: http, protocol: HTTP, targetPort: 443}`:  "",
		`{number: 9443, name: web, protocol: HTTP}`:                  "",
		`{number: 9444, name: tls, protocol: HTTP}`:                  "",
	} {
		view := egresstest.NewCluster()
		view.Rules = []*egress.Rule{{Namespace: egresstest.Namespace, Host: "new.test", Policy: map[string]any{"portLevelSettings": []any{
			map[string]any{"port": map[string]any{"number": int64(9444)}, "tls": map[string]any{"mode": "SIMPLE"}},
		}}}}
		r := &Reviewer{Mesh: egresstest.Mesh(), View: view, Policies: &policies{}}
		outcome, err := r.Review(t.Context(), stored(t, r, create(entry(t, `{hosts: [new.test], resolution: DNS, ports: [`+port+`]}`))))
		require.NoError(t, err)
		told := strings.Join(outcome.Changes, "\n")
		assert.Contains(t, told, want, port)
		assert.Equal(t, want != "", strings.Contains(told, "spec.ports[0].protocol: "), "%s: %s", port, told)
	}
}
