package integration

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/audit"
	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/registry"
	"github.com/egress-governor/egress-governor/internal/review"
)

// failing is the way to an API server that fails on some pages of ServiceEntries: it is overloaded at the second, has forgotten
// the third, and cannot be reached at the fourth, for longer than a pass waits.
type failing struct {
	http.RoundTripper
	mu    sync.Mutex
	lists int
	away  int
}

func (f *failing) RoundTrip(req *http.Request) (*http.Response, error) {
	if !strings.HasSuffix(req.URL.Path, "/serviceentries") {
		return f.RoundTripper.RoundTrip(req)
	}
	f.mu.Lock()
	f.lists++
	list := f.lists
	f.mu.Unlock()
	switch {
	case list == 2 || list == 3:
		return answered(req, http.StatusInternalServerError, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"InternalError","code":500}`), nil
	case list == 5:
		return answered(req, http.StatusGone, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Expired","code":410}`), nil
	case list > 7 && list <= 7+f.away:
		return nil, errors.New("connection refused")
	}
	return f.RoundTripper.RoundTrip(req)
}

func answered(req *http.Request, code int, body string) *http.Response {
	return &http.Response{
		StatusCode: code, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: req,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)),
	}
}

// judges counts how often each object is judged.
type judges struct {
	mu    sync.Mutex
	times map[string]int
}

func (j *judges) Review(_ context.Context, req review.Request) (*review.Outcome, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.times[req.Object.GetKind()+"/"+req.Name]++
	return &review.Outcome{}, nil
}

// unasked are no policies.
type unasked struct{ client.Reader }

func (unasked) Timed() []string            { return nil }
func (unasked) Kinds() []v1alpha1.Kind     { return nil }
func (unasked) ParametersOf(string) string { return "" }

func (u unasked) List(ctx context.Context, into client.ObjectList, options ...client.ListOption) error {
	if _, policies := into.(*v1alpha1.EgressPolicyList); policies {
		return nil
	}
	return u.Reader.List(ctx, into, options...)
}

// measured is the value of a gauge.
func measured(t *testing.T, of prometheus.Gatherer, name string) float64 {
	t.Helper()
	families, err := of.Gather()
	require.NoError(t, err)
	for _, family := range families {
		if family.GetName() == name {
			return family.GetMetric()[0].GetGauge().GetValue()
		}
	}
	return -1
}

// TestAnAuditGoesOnWhereItWas: pages of a real API server fail, for a moment, for ever and for longer than a pass waits, and each
// object is judged once.
func TestAnAuditGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	const entries = 350
	ns := namespace(t, map[string]string{"test": "audit-resumed", "egress-governor.io/exempt": "true"})
	for i := range entries {
		name := fmt.Sprintf("e%03d", i)
		require.NoError(t, shared.Client.Create(t.Context(), entry(t, "v1", ns, name, strings.ReplaceAll(hostSpec, "HOST", name+".audit-resumed.test"))))
	}
	way := &failing{away: 6}
	config := rest.CopyConfig(shared.Config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		way.RoundTripper = next
		return way
	})
	live, err := client.New(config, client.Options{})
	require.NoError(t, err)
	// Other tests write elsewhere, as much as they like.
	live = client.NewNamespacedClient(live, ns)
	governed := labels.SelectorFromSet(labels.Set{"test": "audit-resumed"})
	mesh := &egress.Mesh{Governed: governed}
	judge, metrics := &judges{times: map[string]int{}}, prometheus.NewRegistry()
	auditor := audit.New(audit.Options{
		Selects: func(v1alpha1.Match) bool { return true },
		Mesh:    mesh, Reviewer: judge, Entries: registry.New(mesh), Policies: unasked{}, Live: live, Cached: unasked{shared.Client},
		Status: shared.Client, Kinds: shared.Client.RESTMapper(), Recorder: events.NewFakeRecorder(10), Metrics: metrics,
		Ready: func() bool { return true }, Interval: time.Hour, PerSecond: 10_000, MaxShare: 1, Now: time.Now,
	})
	ctx, cancel := context.WithCancel(ctrl.LoggerInto(t.Context(), testr.New(t)))
	ended := make(chan error, 1)
	go func() { ended <- auditor.Start(ctx) }()
	require.Eventually(t, func() bool { return int(measured(t, metrics, "egress_governor_audit_objects")) == entries }, 5*time.Minute, 100*time.Millisecond, "a pass ends")
	cancel()
	require.NoError(t, <-ended)
	assert.Len(t, judge.times, entries)
	for name, times := range judge.times {
		assert.Equal(t, 1, times, name)
	}
	assert.Greater(t, way.lists, 7+way.away, "each failure was met")
}
