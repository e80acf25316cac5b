package reliability

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"syscall"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/test/controlplane"
)

// pod is a replica that is wanted until it is deleted.
type pod struct {
	options controlplane.ReplicaOptions
	wire    *wire

	mu      sync.Mutex
	replica *controlplane.Replica
	member  *member
	deleted bool
	// gone is closed when it is not started again any more.
	gone chan struct{}
}

func (p *pod) runs(in *service, replica *controlplane.Replica) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.replica, p.member = replica, in.add(replica.Address, replica.Ready)
}

// running is what runs in a pod.
func (p *pod) running() *controlplane.Replica {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.replica
}

// crash ends what runs in a pod; it is started again.
func (p *pod) crash(t *testing.T) {
	t.Helper()
	p.signal(t, syscall.SIGKILL)
}

// signal sends a signal to what runs in a pod.
func (p *pod) signal(t *testing.T, of syscall.Signal) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	require.NoError(t, p.replica.Signal(of))
}

// metric returns the sum of a metric of a pod.
func (p *pod) metric(ctx context.Context, name string) (out float64, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.running().Metrics, nil)
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	raw, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return 0, err
	}
	families, err := parsed(raw)
	for _, metric := range families[name].GetMetric() {
		out += metric.GetGauge().GetValue() + metric.GetCounter().GetValue()
	}
	return out, err
}

// parsed reads metrics as Prometheus does.
func parsed(raw []byte) (map[string]*dto.MetricFamily, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	return parser.TextToMetricFamilies(bytes.NewReader(raw))
}
