package reliability

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/test/controlplane"
)

// replicas are as many as the chart has.
const replicas = 2

// lasting is how long a replica runs that did not end soon.
const lasting = 10 * time.Second

// deployment keeps replicas running, as Kubernetes does with the chart's Deployment: one that ended is started again, at once, and
// after ten seconds, twenty and so on where it ends soon.
type deployment struct {
	plane   *controlplane.ControlPlane
	service *service

	pods []*pod
	made int
	// ended counts how often what runs in a pod ended that was not deleted.
	ended atomic.Int64
	// under is the command before the webhook's own in pods that are made from now on.
	under []string
}

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

// scale starts pods until there are so many.
func (d *deployment) scale(ctx context.Context, to int) error {
	for len(d.pods) < to {
		of, err := d.create(ctx)
		if err != nil {
			return err
		}
		d.pods = append(d.pods, of)
	}
	return nil
}

// create starts a pod.
func (d *deployment) create(ctx context.Context) (*pod, error) {
	wire, err := newWire(d.plane.Config)
	if err != nil {
		return nil, err
	}
	d.made++
	out := &pod{wire: wire, gone: make(chan struct{}), options: controlplane.ReplicaOptions{
		Name: fmt.Sprintf("replica-%d", d.made), Server: wire.server.URL, CA: wire.ca(), Args: []string{"--shutdown-delay=2s"}, Under: d.under,
	}}
	replica, err := d.plane.StartReplica(ctx, out.options)
	if err != nil {
		return nil, err
	}
	out.runs(d.service, replica)
	go d.keep(out)
	return out, nil
}

func (p *pod) runs(in *service, replica *controlplane.Replica) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.replica, p.member = replica, in.add(replica.Address, replica.Ready)
}

// keep starts a pod anew whenever it ended, until it is deleted.
func (d *deployment) keep(of *pod) {
	defer close(of.gone)
	backoff, began := time.Second, time.Now()
	for ; ; time.Sleep(50 * time.Millisecond) {
		of.mu.Lock()
		replica, member, deleted := of.replica, of.member, of.deleted
		of.mu.Unlock()
		if replica.Ended() == nil {
			continue
		}
		d.service.ended(member)
		if deleted {
			return
		}
		d.ended.Add(1)
		if time.Since(began) > lasting {
			backoff = time.Second
		}
		time.Sleep(backoff)
		backoff, began = max(10*time.Second, 2*backoff), time.Now()
		again, err := d.plane.Again(replica, of.options)
		if err != nil {
			return
		}
		of.runs(d.service, again)
	}
}

// delete ends a pod by a signal, for good.
func (d *deployment) delete(of *pod, by syscall.Signal) {
	of.mu.Lock()
	of.deleted = true
	replica := of.replica
	of.mu.Unlock()
	_ = replica.Signal(by)
	<-of.gone
	of.wire.server.CloseClientConnections()
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

// roll replaces each pod by another that is ready first, as the chart's strategy has it.
func (d *deployment) roll(ctx context.Context) error {
	for i, old := range d.pods {
		next, err := d.create(ctx)
		if err != nil {
			return err
		}
		if err := d.ready(ctx, replicas+1); err != nil {
			return err
		}
		d.pods[i] = next
		d.delete(old, syscall.SIGTERM)
	}
	return nil
}

// ready waits until so many pods are in rotation.
func (d *deployment) ready(ctx context.Context, n int) error {
	return until(ctx, func() error {
		if ready := d.service.ready(); ready != n {
			return fmt.Errorf("%d replicas are ready, not %d", ready, n)
		}
		return nil
	})
}

// stop ends all pods.
func (d *deployment) stop() {
	for _, of := range d.pods {
		of.wire.mend()
		d.delete(of, syscall.SIGTERM)
	}
	d.pods = nil
}

// until waits for something, and returns why it is not so.
func until(ctx context.Context, is func() error) error {
	for deadline := time.Now().Add(within); ; time.Sleep(50 * time.Millisecond) {
		err := is()
		if err == nil || ctx.Err() != nil || time.Now().After(deadline) {
			return err
		}
	}
}

// heal undoes what a day left, for the sake of the next.
func (d *deployment) heal() {
	_ = d.plane.Signal("etcd", syscall.SIGCONT)
	for _, of := range d.pods {
		of.wire.mend()
	}
}

// leader is the pod that holds the lease, nil where none does.
func (d *deployment) leader(ctx context.Context) *pod {
	for _, of := range d.pods {
		if leads, err := of.metric(ctx, "leader_election_master_status"); err == nil && leads == 1 {
			return of
		}
	}
	return nil
}

// leads returns the pod that holds the lease, which one does.
func (d *deployment) leads(ctx context.Context, t *testing.T) *pod {
	t.Helper()
	out := d.leader(ctx)
	require.NotNil(t, out, "nobody leads")
	return out
}

// settled waits until every replica is in rotation and one leads, none of which is about to go.
func (d *deployment) settled(ctx context.Context) error {
	return until(ctx, func() error {
		for range 5 {
			if ready, leader := d.service.ready(), d.leader(ctx); ready != replicas || leader == nil {
				return fmt.Errorf("%d replicas are ready, and one leads: %t", ready, leader != nil)
			}
			time.Sleep(probed)
		}
		return nil
	})
}

// metric returns the sum of a metric of a pod.
func (p *pod) metric(ctx context.Context, name string) (out float64, err error) {
	p.mu.Lock()
	url := p.replica.Metrics
	p.mu.Unlock()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
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
