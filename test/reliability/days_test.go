package reliability

import (
	"context"
	"errors"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// fails are the outcomes of what is refused because nobody can judge it, or store it.
var (
	nothing  []outcome
	failShut = []outcome{closed}
	noServer = []outcome{closed, unreachable}
)

// TestBadDays lives through each bad day under a load that does not pause, one after the other on the same control plane.
func TestBadDays(t *testing.T) {
	require.NoError(t, os.RemoveAll(figures))
	tell(t, "| day | requests | failed closed | not served by the API server | refused | longest without one done | served again after | all well after |")
	l := start(context.WithoutCancel(t.Context()), world.plane.Client, tenants...)
	t.Cleanup(l.end)
	for _, day := range days {
		if !t.Run(day.name, func(t *testing.T) { day.lives(t, l) }) {
			world.heal()
		}
	}
}

var days = []day{
	{"nothing happens", func(context.Context, *testing.T) { time.Sleep(2 * time.Second) }, nothing, stay},
	{"a rolling restart", func(ctx context.Context, t *testing.T) { require.NoError(t, world.roll(ctx)) }, nothing, stay},
	{"the leader is killed", func(ctx context.Context, t *testing.T) { world.leads(ctx, t).crash(t) }, failShut, end},
	{"every replica is killed", func(_ context.Context, t *testing.T) {
		for _, pod := range world.pods {
			pod.crash(t)
		}
	}, failShut, end},
	{"a replica freezes for 12 s", func(ctx context.Context, t *testing.T) {
		pod := world.leads(ctx, t)
		pod.signal(t, syscall.SIGSTOP)
		time.Sleep(12 * time.Second)
		pod.signal(t, syscall.SIGCONT)
	}, failShut, end},
	{"the API server restarts", restart("kube-apiserver", 5*time.Second, time.Second), noServer, end},
	{"the API server is killed", restart("kube-apiserver", 0, 3*time.Second), noServer, end},
	{"the API server is out of the leader's reach for 13 s", func(ctx context.Context, t *testing.T) {
		pod := world.leads(ctx, t)
		pod.wire.hang()
		time.Sleep(13 * time.Second)
		pod.wire.mend()
	}, nothing, end},
	{"the API server hangs for all replicas for 13 s", func(context.Context, *testing.T) {
		for _, pod := range world.pods {
			pod.wire.hang()
		}
		time.Sleep(13 * time.Second)
		for _, pod := range world.pods {
			pod.wire.mend()
		}
	}, nothing, end},
	{"etcd is slow", slow, []outcome{unreachable}, stay},
	{"etcd hangs for 12 s", func(_ context.Context, t *testing.T) {
		require.NoError(t, world.plane.Signal("etcd", syscall.SIGSTOP))
		time.Sleep(12 * time.Second)
		require.NoError(t, world.plane.Signal("etcd", syscall.SIGCONT))
	}, noServer, end},
	{"watches lag by 3 s", func(_ context.Context, t *testing.T) {
		for _, pod := range world.pods {
			pod.wire.delay(3 * time.Second)
		}
		time.Sleep(6 * time.Second)
		for _, pod := range world.pods {
			pod.wire.mend()
			require.GreaterOrEqual(t, pod.wire.latest(), 3*time.Second, "%s heard of nothing late", pod.options.Name)
		}
	}, nothing, stay},
	{"the certificate has expired", certificate(func(secret *corev1.Secret) error { return certificates(secret, nil, past) }), failShut, stay},
	{"the authority has expired", certificate(func(secret *corev1.Secret) error { return certificates(secret, &past, past) }), failShut, stay},
	{"a clock was a day ahead: the certificate begins tomorrow", certificate(func(secret *corev1.Secret) error { return certificates(secret, nil, tomorrow) }), failShut, stay},
	{"the certificate's Secret is deleted", func(ctx context.Context, t *testing.T) {
		require.NoError(t, world.plane.Client.Delete(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: secretKey.Namespace, Name: secretKey.Name}}))
		shaken()
		require.NoError(t, until(ctx, func() error { return vouched(ctx, nil) }))
	}, failShut, stay},
	{"the certificate's Secret holds nonsense", certificate(func(secret *corev1.Secret) error {
		for name := range secret.Data {
			secret.Data[name] = []byte("nonsense")
		}
		return nil
	}), failShut, stay},
	{"the caBundle is taken out of the webhook configurations", withoutBundle, failShut, stay},
	{"the leader is killed, whose clock was a year ahead", ahead, failShut, end},
	{"every replica's clock jumps a day forward, and back", clocks(24 * time.Hour), nothing, stay},
	{"every replica's clock jumps a day back, and forward", clocks(-24 * time.Hour), nothing, stay},
	{"every replica starts while the API server hangs for 15 s", func(_ context.Context, t *testing.T) {
		for _, pod := range world.pods {
			pod.wire.hang()
			pod.crash(t)
		}
		time.Sleep(15 * time.Second)
		for _, pod := range world.pods {
			pod.wire.mend()
		}
	}, failShut, end},
	// The replicas are other ones than those that saw a certificate of tomorrow above, which take none away for a minute.
	{"a clock was a day ahead: the authority begins tomorrow", certificate(func(secret *corev1.Secret) error { return certificates(secret, &tomorrow, tomorrow) }), failShut, stay},
	{"the disk of the logs is full", func(ctx context.Context, t *testing.T) {
		world.under = []string{"sh", "-c", `exec "$@" >/dev/full 2>&1`, "sh"}
		require.NoError(t, world.roll(ctx))
		world.under = nil
		require.NoError(t, world.roll(ctx))
	}, nothing, stay},
	{"an EgressPolicy does not compile, and comes past the webhook", uncompiled, nothing, stay},
	{"the replicas restart, and an EgressPolicy does not compile", uncompiledAtStart, []outcome{refused}, stay},
	{"an EgressPolicy fails at each evaluation", failing, []outcome{refused}, stay},
}

func restart(name string, grace, away time.Duration) func(context.Context, *testing.T) {
	return func(ctx context.Context, t *testing.T) {
		require.NoError(t, world.plane.Restart(ctx, name, grace, away))
	}
}

// slow has etcd run a tenth of the time, which whoever reads notices.
func slow(ctx context.Context, t *testing.T) {
	const stops, runs = 180 * time.Millisecond, 20 * time.Millisecond
	before, err := reads(ctx)
	require.NoError(t, err)
	over := make(chan struct{})
	go func() {
		defer close(over)
		for range 40 {
			assert.NoError(t, world.plane.Signal("etcd", syscall.SIGSTOP))
			time.Sleep(stops)
			assert.NoError(t, world.plane.Signal("etcd", syscall.SIGCONT))
			time.Sleep(runs)
		}
	}()
	meanwhile, err := reads(ctx)
	<-over
	require.NoError(t, err)
	require.Greater(t, meanwhile, before+stops/4, "etcd is slow, and nobody notices")
}

// reads returns what it takes to read something from etcd, on average.
func reads(ctx context.Context) (out time.Duration, err error) {
	const times = 20
	for range times {
		began := time.Now()
		err = errors.Join(err, world.plane.Client.Get(ctx, secretKey, &corev1.Secret{}))
		out += time.Since(began) / times
		time.Sleep(pace)
	}
	return out, err
}

// certificate has the Secret hold something else, which the replicas have to put right.
func certificate(change func(*corev1.Secret) error) func(context.Context, *testing.T) {
	return func(ctx context.Context, t *testing.T) {
		secret := &corev1.Secret{}
		require.NoError(t, world.plane.Client.Get(ctx, secretKey, secret))
		require.NoError(t, change(secret))
		require.NoError(t, world.plane.Client.Update(ctx, secret))
		shaken()
		require.NoError(t, until(ctx, func() error { return vouched(ctx, secret.Data[corev1.TLSCertKey]) }))
	}
}

// shaken has the API server make new connections, so that it asks for certificates.
func shaken() {
	for range 20 {
		world.service.cut()
		time.Sleep(100 * time.Millisecond)
	}
}
