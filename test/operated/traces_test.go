package operated

import (
	"encoding/hex"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
)

// traces are told by gRPC.
func (o *operated) traces(t *testing.T) { o.traced(t, "evil", "api.test") }

// tracesByHTTP: the same is told by the other protocol, where an operator says so.
func (o *operated) tracesByHTTP(t *testing.T) {
	// A replica has the environment of what was installed when it started, and a roll installs after that.
	require.NoError(t, o.StopWebhook())
	o.Configure(values(o.collected.http, "http/protobuf"))
	require.NoError(t, o.StartWebhook(t.Context()))
	o.create(t, entry("shop", "later", "later.tset"))
	o.eventually(t, func() bool {
		err := o.Client.Create(t.Context(), o.object(t, entry("break-glass", "evil-later", "evil.test")))
		return err != nil && strings.Contains(err.Error(), "evil-hosts")
	}, "the policy is in force")
	o.traced(t, "evil-later", "later.tset")
}

// traced: a request that was denied is part of the API server's trace of it, and in the log by the same IDs; what is written for the exit of a host
// is part of the work on it.
func (o *operated) traced(t *testing.T, denied, host string) {
	var whole *tracev1.Span
	o.eventually(t, func() bool {
		for _, whole = range o.collected.named("admission validate", "egress_governor.name", denied) {
			if valueOf(whole.Attributes, "egress_governor.verdict") == "denied" && o.collected.parent(whole).Span != nil {
				return true
			}
		}
		return false
	}, "spans of the request")
	assert.Equal(t, "apiserver", o.collected.parent(whole).service)
	parts := o.collected.parts(whole)
	for _, part := range []string{"turn", "decode", "review"} {
		assert.Contains(t, parts, part)
	}
	id := valueOf(whole.Attributes, "egress_governor.request_id")
	require.NotEmpty(t, id)
	said := slices.DeleteFunc(lines(t, filepath.Join(o.folder, "webhook.log")), func(line map[string]any) bool { return line["requestID"] != id })
	require.Len(t, said, 1)
	assert.Equal(t, hex.EncodeToString(whole.TraceId), said[0]["traceID"])
	o.eventually(t, func() bool {
		return slices.ContainsFunc(o.collected.named("reconcile exits", "egress_governor.host", host), func(turn *tracev1.Span) bool {
			return slices.ContainsFunc(o.collected.parts(turn), func(part string) bool { return strings.HasPrefix(part, "HTTP ") })
		})
	}, "spans of the work on an exit, and of what is written for it")
}
