package window

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/test/controlplane"
)

var (
	seed  = flag.Uint64("seed", 1, "what the tenants draw by")
	steps = flag.Int("steps", 20, "how many changes each tenant makes in a phase")
)

// TestNoPushLeadsStraightOut while tenants write and delete, and whatever should keep order is away. istiod pushes every
// change by itself, as far as it can, so that what lies between two is seen.
func TestNoPushLeadsStraightOut(t *testing.T) {
	f := sail(t, nodes(), "PILOT_DEBOUNCE_AFTER=1ms", "PILOT_DEBOUNCE_MAX=100ms")
	counts := &tally{did: map[string]int{}}
	f.settle(t, true)
	pushes := 0
	for i, phase := range phases(f, counts) {
		t.Run(phase.name, func(t *testing.T) {
			phase.with(t, func() { churn(t.Context(), f, counts, *seed*100+uint64(i), *steps) })
			f.settle(t, true)
			pushes = f.clean(t)
		})
	}
	f.arrive(t)
	tell(t, "pushes judged: %d, by seed %d", pushes, *seed)
	stored := map[string]int{}
	for _, what := range slices.Sorted(maps.Keys(counts.did)) {
		tell(t, "%6d %s", counts.did[what], what)
		if kind, became, _ := strings.Cut(what, " "); strings.HasSuffix(became, ", stored") {
			stored[kind] += counts.did[what]
		}
	}
	for _, kind := range []string{"ServiceEntry", "VirtualService", "DestinationRule", "Gateway"} {
		assert.Positive(t, stored[kind], "a churn that stores nothing shows nothing: %s", kind)
	}
}

// phase is a churn under some trouble.
type phase struct {
	name string
	with func(t *testing.T, churn func())
}

func phases(f *fleet, counts *tally) []phase {
	return []phase{
		{"in peace", func(_ *testing.T, churn func()) { churn() }},
		{"with exit sets deleted by hand", func(t *testing.T, churn func()) { alongside(churn, handDeleter(t, counts)) }},
		{"with the webhook replaced", func(t *testing.T, churn func()) {
			alongside(churn, func() { require.NoError(t, plane.RollWebhook(context.WithoutCancel(t.Context()))) })
		}},
		{"with the webhook away", func(t *testing.T, churn func()) {
			require.NoError(t, plane.StopWebhook())
			alongside(churn, func() {
				require.NoError(t, plane.StopWebhook())
				require.NoError(t, plane.StartWebhook(context.WithoutCancel(t.Context())))
			})
		}},
		{"with the controller stopped", func(t *testing.T, churn func()) {
			withoutController(t, func() {
				alongside(churn, handDeleter(t, counts))
				f.settle(t, false)
			})
		}},
		{"with namespaces that move", func(t *testing.T, churn func()) {
			for _, namespace := range []string{"plain-b", "vault-b"} {
				f.moves(namespace)
			}
			alongside(churn, mover(t))
		}},
	}
}

// alongside does something again and again until the churn is over, at least once.
func alongside(churn, do func()) {
	over := make(chan struct{})
	go func() {
		defer close(over)
		churn()
	}()
	for {
		do()
		select {
		case <-over:
			return
		default:
		}
	}
}

func handDeleter(t *testing.T, counts *tally) func() {
	t.Helper()
	r := rand.New(rand.NewPCG(*seed, 0))
	return func() { require.NoError(t, deleteExits(t.Context(), counts, r, 5)) }
}

// mover has two namespaces leave by the gateway of the other, and back.
func mover(t *testing.T) func() {
	t.Helper()
	label := func(name, value string) {
		patch := fmt.Sprintf(`{"metadata":{"labels":{"egress":%q}}}`, value)
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		require.NoError(t, plane.Client.Patch(t.Context(), namespace, client.RawPatch(types.MergePatchType, []byte(patch))))
	}
	return func() {
		label("plain-b", "vault")
		label("vault-b", "")
		label("plain-b", "")
		label("vault-b", "vault")
	}
}

// withoutController does something while the webhook answers, and its controllers wait for a lease that another has.
func withoutController(t *testing.T, do func()) {
	t.Helper()
	require.NoError(t, plane.StopWebhook())
	holder, seconds, now := "nobody", int32(3600), metav1.NowMicro()
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: controlplane.Namespace, Name: "egress-governor"}}
	require.NoError(t, plane.Client.Delete(t.Context(), lease.DeepCopy()))
	lease.Spec = coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: &seconds, AcquireTime: &now, RenewTime: &now}
	require.NoError(t, plane.Client.Create(t.Context(), lease))
	require.NoError(t, plane.StartWebhook(t.Context()))
	do()
	require.NoError(t, plane.Client.Delete(t.Context(), lease))
}

// applies are as many as the figures are of.
const applies = 20

// TestHowLongAfterTheApply the exit is pushed to the gateway, and the entry to the client: until both were, its calls end at
// the gateway, or nowhere. istiod is as it comes. It reports, and asserts nothing of time.
func TestHowLongAfterTheApply(t *testing.T) {
	f := sail(t, nodes())
	var exits, clients []time.Duration
	for i := range applies {
		namespace := []string{"plain-a", "vault-a"}[i%2]
		http, tls := Call{fmt.Sprintf("figure-%d.test", i), 80}, Call{fmt.Sprintf("figure-%d.test", i), 443}
		entry := drawer{namespace: namespace}.object("ServiceEntry", fmt.Sprintf("figure-%d", i), map[string]any{
			"hosts": []any{http.Host}, "exportTo": []any{"."}, "resolution": "DNS",
			"ports": []any{map[string]any{"number": int64(80), "name": "http", "protocol": "HTTP"}, map[string]any{"number": int64(443), "name": "tls", "protocol": "TLS"}},
		})
		exit := f.proxies[namespaces[namespace]].Until(func(s *State) bool { return s.Reaches(http, mesh()) && s.Reaches(tls, mesh()) })
		told := f.proxies[namespace].Until(func(s *State) bool { return s.Knows(http) && s.Knows(tls) })
		require.NoError(t, tenant.Create(t.Context(), entry))
		answered := time.Now()
		exits = append(exits, await(t, exit, "the exit of "+http.Host).Sub(answered))
		clients = append(clients, await(t, told, http.Host).Sub(answered))
		require.NoError(t, tenant.Delete(t.Context(), entry))
	}
	f.clean(t)
	for what, all := range map[string][]time.Duration{"exit pushed to the gateway": exits, "entry pushed to its client": clients} {
		slices.Sort(all)
		at := func(share float64) time.Duration { return all[int(share*float64(len(all)-1))].Round(time.Millisecond) }
		tell(t, "%s after the apply: median %s, 95th percentile %s, at most %s, of %d applies", what, at(0.5), at(0.95), at(1), applies)
	}
}
