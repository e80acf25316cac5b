package review

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// TestTheOnlyAddressUnderNoneIsCalled, and judged as any endpoint: it is said, and what the author wrote comes back.
func TestTheOnlyAddressUnderNoneIsCalled(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string][]string{
		`{hosts: [proxy.internal], addresses: [203.0.113.7/32], resolution: NONE, ports: [{number: 3128, name: tcp, protocol: TCP}]}`: nil,
		`{hosts: [proxy.internal], addresses: [203.0.113.7], ports: [{number: 443, name: tls, protocol: TLS}]}`:                       nil,
		`{hosts: [proxy.internal], addresses: [169.254.169.254], ports: [{number: 80, name: http, protocol: HTTP}]}`:                  {"deputy-endpoint spec.addresses[0]"},
	} {
		r := byMutualTLS(&egresstest.Cluster{})
		written := entry(t, spec)
		req := create(written)
		out, err := r.Rewrite(req)
		if want == nil {
			require.NoError(t, err, spec)
			intent, err := hop.EntryIntent(out, r.Mesh)
			require.NoError(t, err)
			assert.Equal(t, entry(t, spec).Object["spec"], intent.Object["spec"])
			req.Object = out
		}
		outcome, err := r.Review(t.Context(), req)
		require.NoError(t, err)
		if assert.Equal(t, want, codes(outcome), spec); want != nil {
			continue
		}
		said := strings.Join(outcome.Changes, "\n")
		assert.Contains(t, said, "leads all calls of the entry to 203.0.113.7, its only one", spec)
		assert.NotContains(t, said, "asks DNS", spec)
		last := outcome.Facts.Hosts[len(outcome.Facts.Hosts)-1]
		assert.Equal(t, [2]string{"203.0.113.7", "spec.addresses[0]"}, [2]string{last.Canonical, last.Path.String()}, "policies are told where it leads")
		assert.True(t, last.Endpoint)
	}
}

// TestTheOnlyAddressUnderNoneAgreesWithAnEntryThatSaysIt of the same host.
func TestTheOnlyAddressUnderNoneAgreesWithAnEntryThatSaysIt(t *testing.T) {
	t.Parallel()
	http := egress.Port{Number: 80, Name: "http", Protocol: "HTTP"}
	known := egresstest.Sealed("partner.test", http)
	known.Namespace, known.Definition = "other", (&egress.ServiceEntry{Resolution: "STATIC", Endpoints: []egress.Endpoint{{Address: "203.0.113.7"}}, Ports: []egress.Port{http}}).Define()
	for address, want := range map[string][]string{"203.0.113.7": nil, "203.0.113.8": {"host-conflict spec.hosts[0]"}} {
		r := newReviewer()
		r.View = &egresstest.Cluster{Mesh: r.Mesh, Known: []*egress.Entry{known}}
		outcome, err := reviewed(t, r, create(entry(t, `{hosts: [partner.test], addresses: [`+address+`], ports: [{number: 80, name: http, protocol: HTTP}]}`)))
		require.NoError(t, err)
		assert.Equal(t, want, codes(outcome), address)
	}
}
