package egress_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
)

// crowd are entries of one host by mutual TLS: of so many namespaces in turn, some of which name their clients.
func crowd(entries, namespaces int) (out []*egress.Entry) {
	for i := range entries {
		entry := defines(int64(i), fmt.Sprint(i), ported(on("80", "HTTP")))
		entry.Namespace, entry.Transport, entry.ExportTo = fmt.Sprintf("team-%d", i%namespaces), egress.MutualTLS, []string{"."}
		switch i % namespaces % 4 {
		case 1:
			entry.ExportTo = []string{".", "friends"}
		case 2:
			entry.Accounts = map[string][]string{entry.Namespace: {fmt.Sprintf("app-%d", i/namespaces%3)}}
		case 3:
			entry.Suspended = true
		}
		out = append(out, entry)
	}
	return out
}

// TestACrowdIsLetInAsEachOfIt, made at once, made one by one, and without one.
func TestACrowdIsLetInAsEachOfIt(t *testing.T) {
	t.Parallel()
	mesh := egresstest.MutualTLS()
	gw := mesh.Gateways[0]
	exitOf := func(entries []*egress.Entry) *egress.Exit { return mesh.ExitOf(entries, gw.Namespace(), noRules) }
	governed := func(string) bool { return true }
	for _, namespaces := range []int{1, 3, 7, 40} {
		entries := crowd(200, namespaces)
		grown := exitOf(entries[:1])
		for _, entry := range entries[1:] {
			next, ok := grown.With(entry, nil)
			if require.Equal(t, !entry.Suspended, ok, "%d namespaces", namespaces); ok {
				grown = next
			}
		}
		want := egress.Callers{Of: map[string][]string{}}
		accounts := map[string]map[string]bool{}
		for _, entry := range entries {
			switch {
			case entry.Suspended:
				assert.False(t, grown.Admits(entry, entry.Definition))
				continue
			case entry.Accounts == nil:
				want.Of[entry.Namespace] = nil
			default:
				if accounts[entry.Namespace] == nil {
					accounts[entry.Namespace] = map[string]bool{}
				}
				accounts[entry.Namespace][entry.Accounts[entry.Namespace][0]] = true
			}
			if len(entry.ExportTo) > 1 {
				want.Of["friends"] = nil
			}
			assert.True(t, grown.Admits(entry, entry.Definition))
		}
		for namespace, of := range accounts {
			for _, account := range []string{"app-0", "app-1", "app-2"} {
				if of[account] {
					want.Of[namespace] = append(want.Of[namespace], account)
				}
			}
		}
		assert.Equal(t, want, grown.Callers(80, gw.Leg(), governed), "%d namespaces, grown", namespaces)
		assert.Equal(t, want, exitOf(entries).Callers(80, gw.Leg(), governed), "%d namespaces", namespaces)
		assert.Equal(t, want, grown.Without(entries[0].Namespace, entries[0].Name).Callers(80, gw.Leg(), governed), "%d namespaces, without one", namespaces)
		stranger := *entries[0]
		stranger.Namespace = "stranger"
		assert.False(t, grown.Admits(&stranger, stranger.Definition))
	}
}

// TestAskingForCallersOfACrowd costs the same however large it is. It is not parallel, so that nobody else allocates.
func TestAskingForCallersOfACrowd(t *testing.T) {
	mesh := egresstest.MutualTLS()
	gw := mesh.Gateways[0]
	cost := func(entries int) float64 {
		exit := mesh.ExitOf(crowd(entries, 2), gw.Namespace(), noRules)
		return testing.AllocsPerRun(10, func() { exit.Callers(80, gw.Leg(), func(string) bool { return true }) })
	}
	assert.InDelta(t, cost(10), cost(5000), 5)
}
