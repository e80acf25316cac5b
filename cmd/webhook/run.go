package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/admit"
	"github.com/egress-governor/egress-governor/internal/audit"
	"github.com/egress-governor/egress-governor/internal/config"
	"github.com/egress-governor/egress-governor/internal/controller"
	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/internal/policy"
	"github.com/egress-governor/egress-governor/internal/record"
	"github.com/egress-governor/egress-governor/internal/registry"
	"github.com/egress-governor/egress-governor/internal/render"
	"github.com/egress-governor/egress-governor/internal/review"
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
	source, err := certificate(o)
	if err != nil {
		return err
	}
	spans, err := newTracing(ctx, ctrl.Log.WithName("traces"))
	if err != nil {
		return err
	}
	yield := &controller.Yield{}
	draining := drainingServer{stopping: &atomic.Bool{}, failed: failedDelay * o.shutdownDelay, served: &sync.WaitGroup{}, answer: yield.Answer}
	hosts := registry.New(mesh)
	mgr, err := newManager(o, source, hosts, spans, draining)
	if err != nil {
		return err
	}
	if err := errors.Join(source.AddTo(mgr), metrics.Registry.Register(expiry(source)), mgr.Add(spareMemory{})); err != nil {
		return err
	}
	parts, err := assemble(ctx, mgr, mesh, hosts, configuration, yield, o)
	if err != nil {
		return err
	}
	if parts.capture, err = dnsCapture(mgr, hosts, configuration); err != nil {
		return err
	}
	if err := closeNamespaces(mgr, mesh, hosts, configuration, parts, o); err != nil {
		return err
	}
	ready := func(request *http.Request) error {
		if draining.stopping.Load() {
			return errors.New("stopping")
		}
		return errors.Join(parts.ready(), source.Ready(), mgr.GetWebhookServer().StartedChecker()(request))
	}
	if err := errors.Join(mgr.AddHealthzCheck("ping", healthz.Ping), mgr.AddReadyzCheck("webhook", ready)); err != nil {
		return err
	}
	err = mgr.Start(drainContext(ctx, o.shutdownDelay, draining.stopping))
	draining.served.Wait()
	return errors.Join(err, spans.stop(ctx))
}

// parts are what has to be there before the first request is answered.
type parts struct {
	synced   func() bool
	policies *controller.Policies
	auditor  *audit.Auditor
	// capture is nil where the configuration says whether sidecars capture DNS.
	capture *controller.DNSCapture
}

func (p parts) ready() error {
	if !p.synced() {
		return errors.New("the cache is not synced yet")
	}
	if p.capture != nil && !p.capture.Asked() {
		return errors.New("the mesh configuration was not asked for DNS capture yet")
	}
	if !p.policies.Loaded() {
		return errors.New("the policies are not compiled yet")
	}
	return nil
}

func assemble(ctx context.Context, mgr ctrl.Manager, mesh *egress.Mesh, hosts *registry.Registry, configuration *config.Configuration, yield *controller.Yield, o options) (*parts, error) {
	out := &parts{}
	var err error
	if out.synced, err = hosts.Watch(ctx, mgr.GetCache()); err != nil {
		return nil, err
	}
	engine, err := policy.NewEngine(policies.Library())
	if err != nil {
		return nil, err
	}
	if out.policies, err = setupPolicies(mgr, engine, configuration.Standards(), o); err != nil {
		return nil, err
	}
	if err := controller.SetupExits(ctx, mgr, mesh, hosts, out.synced, yield, metrics.Registry); err != nil {
		return nil, err
	}
	if err := controller.SetupRoutes(mgr, mesh, hosts, out.synced); err != nil {
		return nil, err
	}
	recorder, err := record.New(metrics.Registry)
	if err != nil {
		return nil, err
	}
	tally := &controller.Tally{Client: mgr.GetClient(), Now: time.Now, Yield: yield}
	recorder.Tell(counting(tally))
	if err := setupOPA(mgr, engine, out.policies, recorder, configuration.OPA); err != nil {
		return nil, err
	}
	reviewer := &review.Reviewer{Mesh: mesh, View: hosts, Policies: engine}
	admit.New(admit.Options{
		Reviewer: reviewer, Recorder: recorder, Checker: out.policies,
		Namespaces: mgr.GetCache(), Live: mgr.GetAPIReader(), Scheme: mgr.GetScheme(),
	}).Register(mgr.GetWebhookServer())
	out.auditor = auditor(mgr, hosts, reviewer, engine, out, configuration)
	out.policies.OnChange(out.auditor.Changed)
	return out, errors.Join(out.auditor.Watch(ctx, mgr.GetCache()), mgr.Add(out.auditor), mgr.Add(tally))
}

func auditor(mgr ctrl.Manager, hosts *registry.Registry, reviewer *review.Reviewer, engine *policy.Engine, of *parts, configuration *config.Configuration) *audit.Auditor {
	options := audit.Options{
		Mesh: reviewer.Mesh, Reviewer: reviewer, Entries: hosts, Policies: engine,
		Live: mgr.GetAPIReader(), Cached: mgr.GetClient(), Status: mgr.GetClient(), Kinds: mgr.GetRESTMapper(),
		Recorder: mgr.GetEventRecorder("egress-governor"), Metrics: metrics.Registry,
		Ready:    func() bool { return of.ready() == nil },
		Interval: configuration.Audit.Interval.Duration, PerSecond: configuration.Audit.ObjectsPerSecond,
		MaxShare: configuration.Suspend.MaxShare, Now: time.Now,
		Selects: func(of v1alpha1.Match) bool {
			governed := hosts.Governed()
			return governed.Len() == 0 || policy.Selects(of, governed)
		},
	}
	if rehearsal := reviewer.Mesh.Rehearsal(); rehearsal != nil {
		options.Stand = func(at time.Time) (audit.Stand, error) {
			out, err := render.New(rehearsal, engine, at)
			if err == nil {
				out.SetDNSCapture(hosts.DNSCapture())
			}
			return out, err
		}
	}
	if configuration.Audit.Reports {
		options.Writer = mgr.GetClient()
	}
	return audit.New(options)
}

// dnsCapture has the registry know whether sidecars capture DNS. It returns who reads that, nil where nobody has to.
func dnsCapture(mgr ctrl.Manager, hosts *registry.Registry, configuration *config.Configuration) (*controller.DNSCapture, error) {
	if configuration.DNSCapture != "Detect" {
		hosts.SetDNSCapture(configuration.Captures(false))
		return nil, nil
	}
	out := &controller.DNSCapture{Live: mgr.GetAPIReader(), MeshConfig: configuration.MeshConfig.Key(), Set: hosts.SetDNSCapture}
	return out, mgr.Add(out)
}

// closeNamespaces has governed namespaces closed to what no entry names, as far as they are to be, and preflight say where
// they are open.
func closeNamespaces(mgr ctrl.Manager, mesh *egress.Mesh, hosts *registry.Registry, configuration *config.Configuration, parts *parts, o options) error {
	checks := preflight(mgr, mesh, hosts, configuration.MeshConfig, o)
	checks.Unsealed = parts.auditor.Unsealed
	closing, err := controller.SetupClosing(mgr, controller.ClosingOptions{
		Mesh: mesh, Namespaces: hosts, Fence: fence(configuration), MeshConfig: checks.MeshConfig, Synced: parts.synced,
	})
	if err != nil {
		return err
	}
	if closing != nil {
		checks.Unclosed = closing.Unclosed
	}
	if mesh.Block {
		checks.Open = closing.Open
	}
	return mgr.Add(checks)
}

// fence is what the NetworkPolicies of governed namespaces let through, nil where there are to be none.
func fence(configuration *config.Configuration) *hop.Fence {
	if configuration.NetworkPolicies != "Manage" {
		return nil
	}
	of := configuration.NetworkPolicy
	return &hop.Fence{Mesh: of.Mesh, DNS: of.DNS.To, DNSPorts: of.DNS.Ports, APIServer: of.APIServer, Allow: of.Allow}
}

func preflight(mgr ctrl.Manager, mesh *egress.Mesh, hosts *registry.Registry, meshConfig config.MeshConfig, o options) *controller.Preflight {
	return &controller.Preflight{
		Mesh: mesh, Live: mgr.GetAPIReader(), Foreign: hosts.Foreign, Ungoverned: hosts.Ungoverned, View: hosts, MeshConfig: meshConfig.Key(), Configuration: o.webhookConfiguration,
		Recorder: mgr.GetEventRecorder("egress-governor"), Metrics: metrics.Registry, Status: mgr.GetClient(),
		Regarding: &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: o.namespace, Name: o.service}},
	}
}
