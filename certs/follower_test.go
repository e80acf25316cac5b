package certs

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache/informertest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllertest"
)

func secret(certificate, key []byte) *corev1.Secret {
	out := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: secretName.Namespace, Name: secretName.Name}}
	if certificate != nil {
		out.Data = map[string][]byte{"ca.crt": []byte("any"), "tls.crt": certificate, "tls.key": key}
	}
	return out
}

// following is a running follower and what is around it.
type following struct {
	*follower
	source   *SelfManaged
	informer *controllertest.FakeInformer // sends it events
	cluster  client.Client
	logged   *[]string
}

// follow starts a follower in a cluster with these objects, whose API server may answer otherwise than the fake.
func follow(t *testing.T, answers interceptor.Funcs, objects ...client.Object) following {
	t.Helper()
	scheme := runtime.NewScheme()
	require.NoError(t, corev1.AddToScheme(scheme))
	var logged []string
	ctx := ctrl.LoggerInto(t.Context(), funcr.New(func(_, line string) { logged = append(logged, line) }, funcr.Options{}))
	secrets := &informertest.FakeInformers{Scheme: scheme}
	cluster := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithInterceptorFuncs(answers).Build()
	source := newSelfManaged()
	f := &follower{
		secret: secretName, secrets: secrets, writer: cluster,
		serve: source.serve, marker: filepath.Join(t.TempDir(), "tls.crt"), now: time.Now,
	}
	require.NoError(t, f.Start(ctx))
	informer, err := secrets.FakeInformerFor(ctx, &corev1.Secret{})
	require.NoError(t, err)
	return following{f, source, informer, cluster, &logged}
}

func TestFollowerServesTheSecretsCertificate(t *testing.T) {
	t.Parallel()
	f := follow(t, interceptor.Funcs{})

	f.informer.Add(secret(nil, nil))
	assert.Zero(t, served(t, f.source), "the chart's Secret is empty")
	assert.NoFileExists(t, f.marker)

	f.informer.Update(secret(nil, nil), secret(pair(t, 1)))
	assert.Equal(t, int64(1), served(t, f.source))
	assert.FileExists(t, f.marker)

	renewed := secret(pair(t, 2))
	f.informer.Update(secret(pair(t, 1)), renewed)
	assert.Equal(t, int64(2), served(t, f.source), "a renewed certificate is served from the next handshake on")
	marked, err := os.ReadFile(f.marker)
	require.NoError(t, err)
	assert.Equal(t, renewed.Data["tls.crt"], marked)
}

func TestFollowerKeepsTheLastGoodCertificate(t *testing.T) {
	t.Parallel()
	crt, key := pair(t, 2)
	_, otherKey := pair(t, 3)
	for name, bad := range map[string]*corev1.Secret{
		"empty":            secret(nil, nil),
		"empty tls.crt":    secret([]byte{}, key),
		"no PEM":           secret([]byte("not"), []byte("PEM")),
		"no key":           secret(crt, nil),
		"another's key":    secret(crt, otherKey),
		"half a new write": secret(crt[:len(crt)/2], key),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := follow(t, interceptor.Funcs{})
			good := secret(pair(t, 1))
			f.informer.Add(good)
			f.informer.Update(good, bad)
			assert.Equal(t, int64(1), served(t, f.source))
			marked, err := os.ReadFile(f.marker)
			require.NoError(t, err)
			assert.Equal(t, good.Data["tls.crt"], marked, "the marker is of the certificate that is served")
		})
	}
}

func TestFollowerMarksOnlyWhatIsServed(t *testing.T) {
	t.Parallel()
	f := follow(t, interceptor.Funcs{})
	f.informer.Add(secret([]byte("not"), []byte("PEM")))
	assert.NoFileExists(t, f.marker, "a bad certificate is not served")
	f.serve = func(certificate, key []byte) error {
		assert.NoFileExists(t, f.marker, "the rotator must not hear of it before clients can be served")
		return f.source.serve(certificate, key)
	}
	f.informer.Add(secret(pair(t, 1)))
	assert.FileExists(t, f.marker)
}

func TestFollowerRestoresADeletedSecretEmpty(t *testing.T) {
	t.Parallel()
	f := follow(t, interceptor.Funcs{})
	f.informer.Add(secret(pair(t, 1)))
	f.informer.Delete(secret(pair(t, 1)))
	var restored corev1.Secret
	require.NoError(t, f.cluster.Get(t.Context(), secretName, &restored))
	assert.Empty(t, restored.Data)
	assert.Equal(t, int64(1), served(t, f.source), "clients are served on until the rotation has filled it")
}

func TestFollowerLeavesWhatAnotherReplicaRestored(t *testing.T) {
	t.Parallel()
	already := secret(pair(t, 2))
	f := follow(t, interceptor.Funcs{}, already)
	f.informer.Delete(secret(pair(t, 1)))
	var kept corev1.Secret
	require.NoError(t, f.cluster.Get(t.Context(), secretName, &kept))
	assert.Equal(t, already.Data, kept.Data)
	assert.Empty(t, *f.logged, "that another came first is no error")
}

func TestFollowerSaysThatItCannotRestore(t *testing.T) {
	t.Parallel()
	f := follow(t, interceptor.Funcs{Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error {
		return errors.New("forbidden")
	}})
	f.informer.Delete(secret(nil, nil))
	require.Len(t, *f.logged, 1)
	assert.Contains(t, (*f.logged)[0], "Cannot restore the deleted certificate Secret")
	assert.Contains(t, (*f.logged)[0], "forbidden")
}

func TestFollowerNamesTheSecretItCannotWatch(t *testing.T) {
	t.Parallel()
	f := &follower{secret: secretName, secrets: &informertest.FakeInformers{Error: errors.New("forbidden")}}
	require.EqualError(t, f.Start(t.Context()), "watch Secret egress-system/webhook-cert: forbidden")
}
