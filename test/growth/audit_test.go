package growth

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/test/controlplane"
)

// BenchmarkAudit has 1,000 stored entries judged again by a policy that all of them violate, while others apply: the times
// are until the policy says so, and what an apply takes meanwhile and before.
func BenchmarkAudit(b *testing.B) {
	ctrl.SetLogger(logr.Discard())
	const entries = 1000
	for _, perSecond := range []int{100, 1000} {
		b.Run(fmt.Sprintf("ObjectsPerSecond=%d", perSecond), func(b *testing.B) {
			plane := startWith(b, map[string]any{"config": map[string]any{"maxHostsPerNamespace": 0}, "audit": map[string]any{"objectsPerSecond": perSecond}})
			grow(b, plane, entries, func(i int) string { return fmt.Sprintf("host-%d.example.com", i) })
			for b.Loop() {
				before := applies(b, plane, func() bool { return true })
				used := spent(b, plane)
				policy := &v1alpha1.EgressPolicy{ObjectMeta: metav1.ObjectMeta{Name: "none"}, Spec: v1alpha1.EgressPolicySpec{
					Enforcement: v1alpha1.Warn, Rego: "package none\n\ndeny contains \"no\"\n",
				}}
				require.NoError(b, plane.Client.Create(b.Context(), policy))
				began := time.Now()
				meanwhile := applies(b, plane, func() bool {
					require.NoError(b, plane.Client.Get(b.Context(), client.ObjectKeyFromObject(policy), policy))
					return policy.Status.Violations != nil && *policy.Status.Violations >= entries
				})
				b.ReportMetric(time.Since(began).Seconds(), "s-until-all-are-found")
				b.ReportMetric(before.Seconds()*1000, "ms-p99-apply-before")
				b.ReportMetric(meanwhile.Seconds()*1000, "ms-p99-apply-meanwhile")
				for name, was := range used {
					b.ReportMetric(spent(b, plane)[name]-was, name)
				}
				require.NoError(b, plane.Client.Delete(b.Context(), policy))
			}
			require.NoError(b, plane.Stop())
		})
	}
}

// spent is what the webhook has taken so far.
func spent(b *testing.B, plane *controlplane.ControlPlane) map[string]float64 {
	b.Helper()
	families := scrape(b.Context(), b, plane.Metrics)
	return map[string]float64{
		"GET": sum(families["rest_client_requests_total"], "GET"), "POST": sum(families["rest_client_requests_total"], "POST"),
		"cpu-s": sum(families["process_cpu_seconds_total"], ""),
	}
}

// applies sends dry runs one after the other until something is so, 200 at least, and returns what all but one of a
// hundred took at most.
func applies(b *testing.B, plane *controlplane.ControlPlane, until func() bool) time.Duration {
	b.Helper()
	var took []time.Duration
	for i := 0; i < 200 || !until(); i++ {
		began := time.Now()
		require.NoError(b, plane.Client.Create(b.Context(), entry(100000+i, fmt.Sprintf("dry-%d.example.com", i)), client.DryRunAll))
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took[len(took)*99/100]
}
