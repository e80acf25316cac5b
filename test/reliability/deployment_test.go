package reliability

import (
	"context"
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

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
	// logs is the folder of the replicas' logs.
	logs string

	pods []*pod
	made int
	// ended counts how often what runs in a pod ended that was not deleted.
	ended atomic.Int64
	// under is the command before the webhook's own in pods that are made from now on.
	under []string
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
		_ = of.running().SetClock(0)
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
