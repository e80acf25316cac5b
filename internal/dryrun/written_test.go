package dryrun_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/dryrun"
	"github.com/egress-governor/egress-governor/internal/egress"
)

// TestWhatIsRefusedIsInAFieldThatSomebodyWrote: Istio takes less in some fields of the stored form than in those that it is made of, and
// the API server would name these.
func TestWhatIsRefusedIsInAFieldThatSomebodyWrote(t *testing.T) {
	t.Parallel()
	ports := func(names ...string) string {
		var out []string
		for i, name := range names {
			out = append(out, fmt.Sprintf("{number: %d, name: %q, protocol: HTTP}", 8000+i, name))
		}
		return strings.Join(out, ", ")
	}
	guarded, err := server()
	require.NoError(t, err)
	engine, err := standards()
	require.NoError(t, err)
	many := make([]string, 129)
	for i := range many {
		many[i] = fmt.Sprintf("http-%d", i)
	}
	for _, transport := range []egress.Transport{egress.Plain, egress.MutualTLS} {
		for written, want := range map[string]string{
			ports("odd_name"):              "bad-port spec.ports[0].name",
			ports("http", "Odd.x"):         "bad-port spec.ports[1].name",
			ports("-http"):                 "bad-port spec.ports[0].name",
			ports(strings.Repeat("a", 63)): "bad-port spec.ports[0].name",
			ports(strings.Repeat("a", 62)): "",
			ports("Http"):                  "",
			ports(""):                      "bad-port spec.ports[0].name",
			ports("http", "http"):          "bad-port spec.ports[1].name",
			ports("a") + ", {number: 8000, name: b, protocol: HTTP}": "bad-port spec.ports[1].number",
			ports(many...):       "bad-port spec.ports",
			ports(many[:128]...): "",
		} {
			of := session(t, func(options *dryrun.Options) {
				options.Configuration.Gateways[0].Transport, options.Server, options.Standards = string(transport), guarded, engine
			})
			answers, err := of.Apply(t.Context(), objects(t, strings.Replace(entry, "ports: [{number: 443, name: tls, protocol: TLS}]", "ports: ["+written+"]", 1)), func() {})
			require.NoError(t, err)
			var got []string
			for _, finding := range answers[0].Findings {
				got = append(got, finding.Code+" "+finding.Field)
			}
			assert.Equal(t, want, strings.Join(got, ", "), "%s: %.120s", transport, written)
			assert.Equal(t, want == "", answers[0].Allowed())
		}
	}
}
