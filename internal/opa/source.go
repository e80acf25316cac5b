package opa

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/bundle"
	"github.com/open-policy-agent/opa/v1/download"
	bundles "github.com/open-policy-agent/opa/v1/plugins/bundle"
)

// source is where a bundle comes from. OPA's downloaders ask for it and verify it; OPA's bundle plugin, which would take it then,
// compiles with every built-in and without our bounds.
type source struct {
	of     *OPA
	name   string
	loader bundles.Loader

	// etag is that of the bundle in force, for its loader alone.
	etag string

	// The fields below are guarded by OPA.mu.
	problem   error
	revision  string
	version   string
	activated time.Time
}

func newSource(of *OPA, name string, from *bundles.Source) *source {
	out := &source{of: of, name: name}
	client := of.manager.Client(from.Service)
	parsing := ast.ParserOptions{RegoVersion: ast.RegoV1, ProcessAnnotation: true}
	if strings.EqualFold(client.Config().Type, "oci") {
		out.loader = download.NewOCI(from.Config, client, from.Resource, "").WithCallback(out.update).WithBundleVerificationConfig(from.Signing).
			WithSizeLimitBytes(from.SizeLimitBytes).WithBundleParserOpts(parsing)
		return out
	}
	out.loader = download.New(from.Config, client, from.Resource).WithCallback(out.update).WithBundleVerificationConfig(from.Signing).
		WithSizeLimitBytes(from.SizeLimitBytes).WithBundleParserOpts(parsing).WithBundleName(name)
	return out
}

// update takes what a download came to. The error has it asked for again, a little later each time.
func (s *source) update(ctx context.Context, of download.Update) error {
	err := of.Error
	if err == nil && of.Bundle != nil {
		err = s.activate(ctx, of.Bundle)
	}
	switch {
	case err != nil:
		// What is in force is not what the server has: it is to send that again.
		s.loader.SetCache(s.etag)
	case of.Bundle != nil:
		s.etag = of.ETag
	}
	s.of.heard(s, of.Bundle, err)
	return err
}

// activate puts a bundle in force as a whole, or leaves the one before.
func (s *source) activate(ctx context.Context, of *bundle.Bundle) (err error) {
	defer func() {
		if problem := recover(); problem != nil {
			err = fmt.Errorf("the bundle cannot be compiled: %v", problem)
		}
	}()
	s.of.activating.Lock()
	defer s.of.activating.Unlock()
	next := s.of.mask.clone()
	if err := next.set(s.name, maskOf(of)); err != nil {
		return err
	}
	if err := s.of.Engine.SetBundle(s.name, of); err != nil {
		return err
	}
	s.of.mask = next
	return s.of.setMask(ctx)
}

// heard takes note of how a bundle is, and tells where that is new.
func (o *OPA) heard(s *source, of *bundle.Bundle, err error) {
	o.mu.Lock()
	// A server that names no version sends the same again.
	version := o.Engine.BundleDigest(s.name)
	changed := s.version != version || text(s.problem) != text(err)
	if s.version != version {
		s.activated = time.Now()
	}
	s.problem, s.version = err, version
	if of != nil && err == nil {
		s.revision = of.Manifest.Revision
		drop(o.missing, s.name, o.arrived)
	}
	o.mu.Unlock()
	switch {
	case err != nil && changed:
		o.Log.Error(err, "Bundle is not as it should be; the last good one stays", "bundle", s.name)
	case changed:
		o.Log.Info("Bundle is in force", "bundle", s.name, "revision", s.revision)
	}
	if changed && o.Changed != nil {
		o.Changed(s.name)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	drop(o.waiting, s.name, o.asked)
}

// drop takes a name out of those that are waited for, and closes a channel with the last.
func drop(from map[string]bool, name string, last chan struct{}) {
	if !from[name] {
		return
	}
	if delete(from, name); len(from) == 0 {
		close(last)
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
