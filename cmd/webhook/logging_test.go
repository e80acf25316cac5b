package main

import (
	"bytes"
	"errors"
	"testing"

	"github.com/go-logr/logr"
	"github.com/stretchr/testify/assert"
	"go.uber.org/zap/zapcore"
	ctrlzap "sigs.k8s.io/controller-runtime/pkg/log/zap"
)

// encoded counts how often it is.
type encoded struct{ times *int }

func (e encoded) MarshalLog() any {
	*e.times++
	return "value"
}

// logged is what some lines are by a logger that is made of one that writes JSON.
func logged(of func(logr.Logger) logr.Logger, value any) string {
	var out bytes.Buffer
	log := of(ctrlzap.New(ctrlzap.WriteTo(&out), ctrlzap.JSONEncoder(func(c *zapcore.EncoderConfig) { c.TimeKey, c.StacktraceKey = "", "" })))
	request := log.WithName("admission").WithValues("value", value, "name", "api")
	request.V(5).Info("received")
	request.WithValues("kind", "ServiceEntry").WithName("part").WithCallDepth(1).Info("Not allowed", "verdict", "denied")
	request.WithValues("kind", "VirtualService").Error(errors.New("broken"), "Failed", "code", 500)
	request.Info("Written")
	return out.String()
}

// TestLoggerThatIsLazyWritesTheSame, and encodes what it is given for no line that is not written.
func TestLoggerThatIsLazyWritesTheSame(t *testing.T) {
	t.Parallel()
	times := 0
	same := func(of logr.Logger) logr.Logger { return of }
	want := logged(same, encoded{&times})
	times = 0
	assert.Equal(t, want, logged(lazily, encoded{&times}))
	assert.Equal(t, 3, times, "once for each line that is written")
	assert.Contains(t, want, `"msg":"Not allowed","value":"value","name":"api","kind":"ServiceEntry","verdict":"denied"`)

	times = 0
	lazily(ctrlzap.New(ctrlzap.WriteTo(&bytes.Buffer{}))).WithValues("value", encoded{&times}).V(5).Info("received")
	assert.Zero(t, times)
}
