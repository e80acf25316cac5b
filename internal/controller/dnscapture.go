package controller

import (
	"context"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// DNSCapture reads at start and every minute from Istio's mesh configuration whether sidecars capture DNS. Every replica
// runs it, since every one answers requests.
type DNSCapture struct {
	// Live reads from the API server.
	Live client.Reader
	// MeshConfig is Istio's ConfigMap.
	MeshConfig types.NamespacedName
	// Set takes what was read. What cannot be read leaves the last answer as it is.
	Set func(on bool)

	asked atomic.Bool
}

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (*DNSCapture) NeedLeaderElection() bool { return false }

// Start implements manager.Runnable. It returns when the context ends.
func (d *DNSCapture) Start(ctx context.Context) error {
	wait.UntilWithContext(ctx, d.look, interval)
	return nil
}

// Asked says whether it has looked once, whatever came of it.
func (d *DNSCapture) Asked() bool { return d.asked.Load() }

func (d *DNSCapture) look(ctx context.Context) {
	defer d.asked.Store(true)
	settings, err := meshSettingsOf(ctx, d.Live, d.MeshConfig)
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Whether sidecars capture DNS is not known")
		return
	}
	d.Set(settings != nil && settings.DefaultConfig.capturesDNS())
}
