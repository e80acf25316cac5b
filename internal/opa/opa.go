// Package opa has OPA's own plugins fetch bundles and send decision logs. What a bundle may do is the policy engine's to say.
package opa

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/open-policy-agent/opa/v1/bundle"
	"github.com/open-policy-agent/opa/v1/logging"
	"github.com/open-policy-agent/opa/v1/plugins"
	bundles "github.com/open-policy-agent/opa/v1/plugins/bundle"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/prometheus/client_golang/prometheus"
)

// Engine takes bundles.
type Engine interface {
	// ExpectBundles names those that may come.
	ExpectBundles(names ...string)
	// SetBundle has one in the place of the one before, which stays on error.
	SetBundle(name string, of *bundle.Bundle) error
	// BundleDigest tells one from others, empty for none.
	BundleDigest(name string) string
}

// Options are what bundles and decision logs need.
type Options struct {
	// Configuration is in the words of OPA's.
	Configuration []byte
	Engine        Engine
	// Changed is told of a bundle that came, or did not.
	Changed func(bundle string)
	Metrics prometheus.Registerer
	Log     logr.Logger
	// Console is where decisions are written with console: true.
	Console io.Writer
}

// OPA fetches bundles while it runs, and takes decisions to be logged. It is safe for concurrent use.
type OPA struct {
	Options
	manager *plugins.Manager
	sources map[string]*source
	logs    *decisions

	// activating guards mask: one bundle is compiled at a time.
	activating sync.Mutex
	mask       masks

	// mu is never held while anything is compiled: requests wait for it.
	mu sync.Mutex
	// waiting are the bundles that were not asked for yet, missing those that have not come.
	waiting, missing map[string]bool
	asked, arrived   chan struct{}
}

// New reads a configuration. The error names what of it cannot be used.
func New(options Options) (*OPA, error) {
	said, err := read(options.Configuration)
	if err != nil {
		return nil, err
	}
	out := &OPA{
		Options: options, sources: map[string]*source{}, waiting: map[string]bool{}, missing: map[string]bool{},
		asked: make(chan struct{}), arrived: make(chan struct{}), mask: masks{},
	}
	configuration, bounds, err := forManager(said, options.Configuration)
	if err != nil {
		return nil, err
	}
	console := logging.NewLoggerFromSlogHandler(slog.NewJSONHandler(options.Console, nil), logging.Info)
	out.manager, err = plugins.New(configuration, "egress-governor", inmem.New(),
		plugins.Logger(logging.NewLoggerFromSlogHandler(logr.ToSlogHandler(options.Log), logging.Info)), plugins.ConsoleLogger(console))
	if err != nil {
		return nil, err
	}
	for name, plugin := range bounds {
		out.manager.Register(name, plugin)
	}
	if err := out.mask.set(ofConfiguration, map[string]string{"mask.rego": said.Mask}); err != nil {
		return nil, fmt.Errorf("mask: %w", err)
	}
	if err := out.configure(said, options.Configuration); err != nil {
		return nil, err
	}
	if len(out.sources) == 0 {
		close(out.asked)
		close(out.arrived)
	}
	return out, out.register()
}

// forManager is what of a configuration OPA's manager is given, and the plugins that it needs for it.
func forManager(said *words, raw []byte) ([]byte, map[string]*bounded, error) {
	var given struct {
		Services map[string]map[string]json.RawMessage `json:"services"`
		Keys     json.RawMessage                       `json:"keys,omitempty"`
		Labels   json.RawMessage                       `json:"labels,omitempty"`
	}
	if err := json.Unmarshal(raw, &given); err != nil {
		return nil, nil, err
	}
	services, bounds, err := boundedServices(said.Services, given.Services)
	if err != nil {
		return nil, nil, err
	}
	given.Services = services
	out, err := json.Marshal(given)
	return out, bounds, err
}

// configure makes what the configuration asks for.
func (o *OPA) configure(said *words, raw []byte) error {
	var parts struct {
		Bundles      json.RawMessage `json:"bundles"`
		DecisionLogs json.RawMessage `json:"decision_logs"`
		Plugins      struct {
			FileLogger json.RawMessage `json:"file_logger"`
		} `json:"plugins"`
	}
	if err := json.Unmarshal(raw, &parts); err != nil {
		return err
	}
	periodic := plugins.TriggerPeriodic
	if len(said.Bundles) > 0 {
		parsed, err := bundles.NewConfigBuilder().WithBytes(parts.Bundles).WithServices(o.manager.Services()).
			WithKeyConfigs(o.manager.PublicKeys()).WithTriggerMode(&periodic).Parse()
		if err != nil {
			return fmt.Errorf("bundles: %w", err)
		}
		for name, of := range parsed.Bundles {
			if said.Bundles[name].SizeLimitBytes <= 0 {
				of.SizeLimitBytes = maxFile
			}
			if of.Signing == nil {
				o.Log.Info("Bundle is taken without a signature: whoever answers for its server decides over policies", "bundle", name)
			}
			o.sources[name] = newSource(o, name, of)
			o.waiting[name], o.missing[name] = true, true
		}
		o.Engine.ExpectBundles(slices.Collect(maps.Keys(o.sources))...)
	}
	if said.DecisionLogs == nil {
		return nil
	}
	var err error
	o.logs, err = newDecisions(o, parts.DecisionLogs, parts.Plugins.FileLogger)
	return err
}

// NeedLeaderElection implements manager.LeaderElectionRunnable: every replica evaluates.
func (*OPA) NeedLeaderElection() bool { return false }

// drained is how long decisions are waited for that were not sent yet.
const drained = 5 * time.Second

// Start implements manager.Runnable.
func (o *OPA) Start(ctx context.Context) error {
	if err := o.manager.Start(ctx); err != nil {
		return err
	}
	if err := o.setMask(ctx); err != nil {
		return err
	}
	var running sync.WaitGroup
	if o.logs != nil {
		running.Go(func() { o.logs.run(ctx) })
	}
	for _, source := range o.sources {
		source.loader.Start(ctx)
	}
	<-ctx.Done()
	for _, source := range o.sources {
		source.loader.Stop(context.WithoutCancel(ctx))
	}
	running.Wait()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), drained)
	defer cancel()
	o.manager.Stop(last)
	return nil
}

// patience is how long bundles are waited for at start.
const patience = 15 * time.Second

// Wait returns once every bundle was asked for, or that took too long.
func (o *OPA) Wait(ctx context.Context) {
	select {
	case <-o.asked:
	case <-ctx.Done():
	case <-time.After(patience):
	}
}

// Version tells a bundle that is in force from others, empty where none is.
func (o *OPA) Version(bundle string) string { return o.Engine.BundleDigest(bundle) }

// Problem is why a bundle did not come when it was asked for last, nil where it did.
func (o *OPA) Problem(bundle string) error {
	of := o.sources[bundle]
	if of == nil {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return of.problem
}
