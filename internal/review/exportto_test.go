package review

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
)

// TestAnExportThatNamesNoNamespaceIsRefused, of every kind that has one: proxies of none would go by the object.
func TestAnExportThatNamesNoNamespaceIsRefused(t *testing.T) {
	t.Parallel()
	for kind, spec := range map[string]string{
		"ServiceEntry":    `{exportTo: [EXPORT], hosts: [new.test], resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}`,
		"VirtualService":  `{exportTo: [EXPORT], hosts: [local], http: [{route: [{destination: {host: local}}]}]}`,
		"DestinationRule": `{exportTo: [EXPORT], host: local.payments.svc.cluster.local}`,
	} {
		for export, want := range map[string]string{
			`"team-*"`: "spec.exportTo[0]", `"payments,web"`: "spec.exportTo[0]", `".", ""`: "spec.exportTo[1]", `web, "shop/web"`: "spec.exportTo[1]", `"*."`: "spec.exportTo[0]",
			`payments`: "", `".", web`: "", `"*"`: "",
		} {
			r := newReviewer()
			in := entry(t, strings.Replace(spec, "EXPORT", export, 1))
			in.SetKind(kind)
			first := stored(t, r, create(in))
			outcome, err := r.Review(t.Context(), first)
			require.NoError(t, err)
			if want == "" {
				assert.Empty(t, codes(outcome), "%s %s", kind, export)
				continue
			}
			assert.Equal(t, []string{"bad-export " + want}, codes(outcome), "%s %s", kind, export)

			again := first
			again.Operation, again.Old, again.Object = Update, first.Object, labelled(first.Object)
			outcome, err = r.Review(t.Context(), again)
			require.NoError(t, err)
			assert.Empty(t, codes(outcome), "%s %s: what is stored already keeps nobody from writing the rest", kind, export)
		}
		r := newReviewer()
		in := entry(t, strings.Replace(spec, "EXPORT", `"~"`, 1))
		in.SetKind(kind)
		outcome, err := r.Review(t.Context(), stored(t, r, create(in)))
		require.NoError(t, err)
		assert.Equal(t, kind != "ServiceEntry", len(codes(outcome)) > 0, "%s: Istio takes ~ of ServiceEntries alone", kind)
	}
}

// TestAnEntryThatItsOwnNamespaceDoesNotSeeIsTold, where no other that it sees has the host: a misspelt name is found so, too.
func TestAnEntryThatItsOwnNamespaceDoesNotSeeIsTold(t *testing.T) {
	t.Parallel()
	for export, told := range map[string]bool{`paymnts`: true, `web`: true, `"~"`: true, `"."`: false, `web, payments`: false, `"*"`: false} {
		for host, known := range map[string]bool{"new.test": false, "api.example.com": true} {
			r := &Reviewer{Mesh: egresstest.Mesh(), View: egresstest.NewCluster(), Policies: &policies{}}
			outcome, err := r.Review(t.Context(), stored(t, r, create(entry(t, `{exportTo: [`+export+`], hosts: [`+host+`], resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}`))))
			require.NoError(t, err)
			said := `spec.exportTo: namespace "payments" itself is left out, and calls of its pods to ` + host
			assert.Equal(t, told && !known, strings.Contains(strings.Join(outcome.Changes, "\n"), said), "%s %s: %v", export, host, outcome.Changes)
		}
	}
}
