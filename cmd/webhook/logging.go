package main

import (
	"slices"

	"github.com/go-logr/logr"
)

// lazily returns a logger that keeps what it is given of a request or a reconciliation until a line is written: each has some values of
// its own, encoded by reflection, and few write a line.
func lazily(of logr.Logger) logr.Logger {
	return of.WithSink(&lazySink{LogSink: of.WithCallDepth(1).GetSink()})
}

type lazySink struct {
	logr.LogSink
	values []any
}

// Info implements logr.LogSink.
func (s *lazySink) Info(level int, message string, values ...any) {
	s.LogSink.Info(level, message, slices.Concat(s.values, values)...)
}

// Error implements logr.LogSink.
func (s *lazySink) Error(err error, message string, values ...any) {
	s.LogSink.Error(err, message, slices.Concat(s.values, values)...)
}

// WithValues implements logr.LogSink.
func (s *lazySink) WithValues(values ...any) logr.LogSink {
	return &lazySink{s.LogSink, slices.Concat(s.values, values)}
}

// WithName implements logr.LogSink.
func (s *lazySink) WithName(name string) logr.LogSink {
	return &lazySink{s.LogSink.WithName(name), s.values}
}

// WithCallDepth implements logr.CallDepthLogSink.
func (s *lazySink) WithCallDepth(depth int) logr.LogSink {
	if of, is := s.LogSink.(logr.CallDepthLogSink); is {
		return &lazySink{of.WithCallDepth(depth), s.values}
	}
	return s
}
