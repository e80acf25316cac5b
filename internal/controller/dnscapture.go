package controller

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
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
	config := &corev1.ConfigMap{}
	err := d.Live.Get(ctx, d.MeshConfig, config)
	if apierrors.IsNotFound(err) {
		d.Set(false)
		return
	}
	on := false
	if err == nil {
		on, err = capturesDNS(config.Data["mesh"])
	}
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Whether sidecars capture DNS is not known")
		return
	}
	d.Set(on)
}

// capturesDNS says by Istio's mesh configuration (the key mesh of its ConfigMap) whether sidecars capture DNS. The error is
// that of a configuration that is not YAML.
func capturesDNS(meshConfig string) (bool, error) {
	var parsed struct {
		DefaultConfig struct {
			ProxyMetadata map[string]any `json:"proxyMetadata"`
		} `json:"defaultConfig"`
	}
	if err := yaml.Unmarshal([]byte(meshConfig), &parsed); err != nil {
		return false, fmt.Errorf("mesh configuration: %w", err)
	}
	// Proxies read it so; what they cannot read is off.
	on, _ := strconv.ParseBool(fmt.Sprint(parsed.DefaultConfig.ProxyMetadata["ISTIO_META_DNS_CAPTURE"]))
	return on, nil
}
