package integration

import (
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestTheAPIServerAnswersPodsAsEgressctlDoes: each way past a sidecar, by each kind that has pods, gets one answer from both.
func TestTheAPIServerAnswersPodsAsEgressctlDoes(t *testing.T) {
	t.Parallel()
	guarded(t)
	ns := namespace(t, injected)
	c, _ := author(t)
	alike(t, func() {
		for _, row := range podRows {
			objects := row.workloads(t, ns)
			objects["Pod"] = row.pod(t, ns)
			for _, kind := range []string{"CronJob", "Deployment", "Pod"} {
				_ = c.Create(t.Context(), objects[kind], client.DryRunAll, strict) // what both say is the same
			}
		}
	})
}
