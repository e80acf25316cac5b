package reliability

import (
	"context"
	"os"
	"syscall"
	"testing"
	"time"

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
	{"nothing happens", func(context.Context, *testing.T) { time.Sleep(2 * time.Second) }, nothing},
	{"a rolling restart", func(ctx context.Context, t *testing.T) { require.NoError(t, world.roll(ctx)) }, nothing},
	{"the leader is killed", func(ctx context.Context, t *testing.T) { world.leads(ctx, t).crash(t) }, failShut},
	{"every replica is killed", func(_ context.Context, t *testing.T) {
		for _, pod := range world.pods {
			pod.crash(t)
		}
	}, failShut},
	{"a replica freezes for 12 s", func(ctx context.Context, t *testing.T) {
		pod := world.leads(ctx, t)
		pod.signal(t, syscall.SIGSTOP)
		time.Sleep(12 * time.Second)
		pod.signal(t, syscall.SIGCONT)
	}, failShut},
	{"the API server restarts", restart("kube-apiserver", 5*time.Second, time.Second), noServer},
	{"the API server is killed", restart("kube-apiserver", 0, 3*time.Second), noServer},
	{"the API server is out of the leader's reach for 13 s", func(ctx context.Context, t *testing.T) {
		pod := world.leads(ctx, t)
		pod.wire.hang()
		time.Sleep(13 * time.Second)
		pod.wire.mend()
	}, nothing},
	{"the API server hangs for all replicas for 13 s", func(context.Context, *testing.T) {
		for _, pod := range world.pods {
			pod.wire.hang()
		}
		time.Sleep(13 * time.Second)
		for _, pod := range world.pods {
			pod.wire.mend()
		}
	}, nothing},
	{"etcd is slow", slow, noServer},
	{"etcd hangs for 12 s", func(_ context.Context, t *testing.T) {
		require.NoError(t, world.plane.Signal("etcd", syscall.SIGSTOP))
		time.Sleep(12 * time.Second)
		require.NoError(t, world.plane.Signal("etcd", syscall.SIGCONT))
	}, noServer},
	{"watches lag by 3 s", func(context.Context, *testing.T) {
		for _, pod := range world.pods {
			pod.wire.delay(3 * time.Second)
		}
		time.Sleep(6 * time.Second)
		for _, pod := range world.pods {
			pod.wire.mend()
		}
	}, nothing},
	{"the certificate has expired", certificate(func(secret *corev1.Secret) error { return certificates(secret, nil, past) }), failShut},
	{"the authority has expired", certificate(func(secret *corev1.Secret) error { return certificates(secret, &past, past) }), failShut},
	{"a clock was a day ahead: the certificate begins tomorrow", certificate(func(secret *corev1.Secret) error { return certificates(secret, nil, tomorrow) }), failShut},
	{"a clock was a day ahead: the authority begins tomorrow", certificate(func(secret *corev1.Secret) error { return certificates(secret, &tomorrow, tomorrow) }), failShut},
	{"the certificate's Secret is deleted", func(ctx context.Context, t *testing.T) {
		require.NoError(t, world.plane.Client.Delete(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: secretKey.Namespace, Name: secretKey.Name}}))
		shaken()
	}, failShut},
	{"the certificate's Secret holds nonsense", certificate(func(secret *corev1.Secret) error {
		for name := range secret.Data {
			secret.Data[name] = []byte("nonsense")
		}
		return nil
	}), failShut},
	{"the caBundle is taken out of the webhook configurations", withoutBundle, failShut},
	{"the leader is killed, whose clock was a year ahead", ahead, failShut},
	{"every replica starts while the API server hangs for 15 s", func(_ context.Context, t *testing.T) {
		for _, pod := range world.pods {
			pod.wire.hang()
			pod.crash(t)
		}
		time.Sleep(15 * time.Second)
		for _, pod := range world.pods {
			pod.wire.mend()
		}
	}, failShut},
	{"the disk of the logs is full", func(ctx context.Context, t *testing.T) {
		world.under = []string{"sh", "-c", `exec "$@" >/dev/full 2>&1`, "sh"}
		require.NoError(t, world.roll(ctx))
		world.under = nil
		require.NoError(t, world.roll(ctx))
	}, nothing},
	{"an EgressPolicy does not compile, and comes past the webhook", uncompiled, nothing},
	{"the replicas restart, and an EgressPolicy does not compile", uncompiledAtStart, []outcome{refused}},
	{"an EgressPolicy fails at each evaluation", failing, []outcome{refused}},
}

func restart(name string, grace, away time.Duration) func(context.Context, *testing.T) {
	return func(ctx context.Context, t *testing.T) {
		require.NoError(t, world.plane.Restart(ctx, name, grace, away))
	}
}

// slow has etcd run a tenth of the time.
func slow(_ context.Context, t *testing.T) {
	for range 40 {
		require.NoError(t, world.plane.Signal("etcd", syscall.SIGSTOP))
		time.Sleep(180 * time.Millisecond)
		require.NoError(t, world.plane.Signal("etcd", syscall.SIGCONT))
		time.Sleep(20 * time.Millisecond)
	}
}

// certificate has the Secret hold something else, which the replicas have to put right.
func certificate(change func(*corev1.Secret) error) func(context.Context, *testing.T) {
	return func(ctx context.Context, t *testing.T) {
		secret := &corev1.Secret{}
		require.NoError(t, world.plane.Client.Get(ctx, secretKey, secret))
		require.NoError(t, change(secret))
		require.NoError(t, world.plane.Client.Update(ctx, secret))
		shaken()
	}
}

// shaken has the API server make new connections, so that it asks for certificates.
func shaken() {
	for range 20 {
		world.service.cut()
		time.Sleep(100 * time.Millisecond)
	}
}
