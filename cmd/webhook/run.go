package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"sync/atomic"

	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/webhook"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/certs"
	"github.com/egress-governor/egress-governor/internal/admit"
	"github.com/egress-governor/egress-governor/internal/config"
	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/exit"
	"github.com/egress-governor/egress-governor/internal/policy"
	"github.com/egress-governor/egress-governor/internal/preflight"
	"github.com/egress-governor/egress-governor/internal/registry"
	"github.com/egress-governor/egress-governor/policies"
)

// run serves until the context ends, and a little longer.
func run(ctx context.Context, o options) error {
	configuration, err := config.Load(o.config)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	mesh, err := configuration.Mesh()
	if err != nil {
		return fmt.Errorf("configuration: %s: %w", o.config, err)
	}
	source := &certs.Source{}
	stopping := &atomic.Bool{}
	mgr, err := newManager(o, source, stopping)
	if err != nil {
		return err
	}
	if err := serveCertificate(mgr, source, o); err != nil {
		return err
	}
	parts, err := assemble(ctx, mgr, mesh)
	if err != nil {
		return err
	}
	if err := mgr.Add(watch(mgr, mesh, configuration.MeshConfig, o)); err != nil {
		return err
	}
	ready := func(request *http.Request) error {
		if stopping.Load() {
			return errors.New("stopping")
		}
		return errors.Join(parts.ready(), source.Ready(), mgr.GetWebhookServer().StartedChecker()(request))
	}
	if err := errors.Join(mgr.AddHealthzCheck("ping", healthz.Ping), mgr.AddReadyzCheck("webhook", ready)); err != nil {
		return err
	}
	return mgr.Start(outlive(ctx, o.shutdownDelay, stopping))
}

func newManager(o options, source *certs.Source, stopping *atomic.Bool) (ctrl.Manager, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), networkingv1.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, fmt.Errorf("scheme: %w", err)
	}
	restConfig, err := ctrl.GetConfig()
	if err != nil {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	return ctrl.NewManager(restConfig, ctrl.Options{
		Scheme:                 scheme,
		HealthProbeBindAddress: o.probeAddress,
		Metrics:                server.Options{BindAddress: o.metricsAddress},
		LeaderElection:         o.leaderElect, LeaderElectionID: "egress-governor", LeaderElectionNamespace: o.namespace,
		LeaderElectionReleaseOnCancel: true,
		// Istio's kinds are read as they are stored, from the same cache as the registry.
		Client: client.Options{Cache: &client.CacheOptions{Unstructured: true}},
		WebhookServer: leaving{webhook.NewServer(webhook.Options{
			Host: o.host, Port: o.port,
			TLSOpts: []func(*tls.Config){func(c *tls.Config) {
				c.MinVersion = o.minVersion()
				c.GetCertificate = source.GetCertificate
			}},
		}), stopping},
	})
}

func serveCertificate(mgr ctrl.Manager, source *certs.Source, o options) error {
	if o.certMode == files {
		return source.Files(mgr, filepath.Join(o.certDir, "tls.crt"), filepath.Join(o.certDir, "tls.key"))
	}
	return source.SelfManaged(mgr, certs.SelfManaged{
		Secret:  types.NamespacedName{Namespace: o.namespace, Name: o.secret},
		Service: o.service, ExtraDNSNames: o.extraDNSNames, Configuration: o.webhookConfiguration,
	})
}

// parts are what has to be there before the first request is answered.
type parts struct {
	synced func() bool
	engine *policy.Engine
}

func (p parts) ready() error {
	if !p.synced() {
		return errors.New("the cache is not synced yet")
	}
	if !p.engine.Loaded() {
		return errors.New("the policies are not compiled yet")
	}
	return nil
}

func assemble(ctx context.Context, mgr ctrl.Manager, mesh *egress.Mesh) (*parts, error) {
	hosts := registry.New(mesh)
	synced, err := hosts.Watch(ctx, mgr.GetCache())
	if err != nil {
		return nil, err
	}
	engine, err := policy.NewEngine(policies.Library())
	if err != nil {
		return nil, err
	}
	if err := engine.SetupWithManager(mgr); err != nil {
		return nil, err
	}
	if err := exit.SetupWithManager(mgr, mesh, hosts); err != nil {
		return nil, err
	}
	err = admit.Register(mgr.GetWebhookServer(), admit.Options{
		Mesh: mesh, World: hosts, Judge: engine, Checker: engine,
		Namespaces: mgr.GetCache(), Live: mgr.GetAPIReader(), Scheme: mgr.GetScheme(), Metrics: metrics.Registry,
	})
	return &parts{synced, engine}, err
}

func watch(mgr ctrl.Manager, mesh *egress.Mesh, meshConfig config.MeshConfig, o options) *preflight.Watch {
	return &preflight.Watch{
		Mesh: mesh, Live: mgr.GetAPIReader(), MeshConfig: types.NamespacedName{Namespace: meshConfig.Namespace, Name: meshConfig.Name},
		Recorder: mgr.GetEventRecorder("egress-governor"), Metrics: metrics.Registry, Status: mgr.GetClient(),
		Regarding: &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: o.namespace, Name: o.service}},
	}
}
