package opa

import (
	"context"
	"log/slog"

	"github.com/open-policy-agent/opa/v1/plugins/logger/file"
)

// fileLogger is OPA's own, and says what it could not write: slog tells nobody.
type fileLogger struct {
	*file.Plugin
	lost func(error)
}

// Logger implements plugins.LoggerPlugin.
func (f fileLogger) Logger() slog.Handler {
	if of := f.Plugin.Logger(); of != nil {
		return written{of, f.lost}
	}
	return nil
}

// written is a handler whose errors are heard.
type written struct {
	slog.Handler
	lost func(error)
}

// Handle implements slog.Handler.
func (w written) Handle(ctx context.Context, record slog.Record) error {
	err := w.Handler.Handle(ctx, record)
	if err != nil {
		w.lost(err)
	}
	return err
}

// WithAttrs implements slog.Handler.
func (w written) WithAttrs(attrs []slog.Attr) slog.Handler {
	return written{w.Handler.WithAttrs(attrs), w.lost}
}

// WithGroup implements slog.Handler.
func (w written) WithGroup(name string) slog.Handler {
	return written{w.Handler.WithGroup(name), w.lost}
}
