package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// begins is a certificate, in PEM, that begins at a time.
func begins(t *testing.T, at time.Time) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: at, NotAfter: at.AddDate(10, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// TestUnbornByTheClockOfTheAPIServer: ours alone says nothing, or two replicas would take each other's certificates away for ever.
func TestUnbornByTheClockOfTheAPIServer(t *testing.T) {
	t.Parallel()
	now := time.Now()
	day := 24 * time.Hour
	for name, of := range map[string]struct {
		serving, authority, stored, here time.Duration
		want                             bool
	}{
		"sound":                                {-time.Hour, -day, 0, 0, false},
		"the certificate begins tomorrow":      {day, -day, 0, 0, true},
		"the authority begins tomorrow":        {-time.Hour, day, 0, 0, true},
		"our clock is a day behind":            {-time.Hour, -time.Hour, 0, -day, false},
		"our clock is a day ahead too":         {day - time.Hour, day - time.Hour, 0, day, false},
		"it was stored long ago and has begun": {-day, -day, -2 * day, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			held := secret(begins(t, now.Add(of.serving)), nil)
			held.Data["ca.crt"] = begins(t, now.Add(of.authority))
			assert.False(t, unborn(held, now.Add(of.here)), "nobody knows when it was stored")
			held.ManagedFields = []metav1.ManagedFieldsEntry{{}, {Time: &metav1.Time{Time: now.Add(of.stored)}}, {Time: &metav1.Time{Time: now.Add(-30 * day)}}}
			assert.Equal(t, of.want, unborn(held, now.Add(of.here)))
		})
	}
}

func TestFollowerHasWhatHasNotBegunMadeAnew(t *testing.T) {
	t.Parallel()
	good, bad := secret(pair(t, 1)), secret(pair(t, 2))
	f := follow(t, interceptor.Funcs{}, bad)
	f.informer.Add(good)
	stored := &corev1.Secret{}
	require.NoError(t, f.cluster.Get(t.Context(), secretName, stored))
	stored.Data["ca.crt"] = begins(t, time.Now().Add(time.Hour))
	stored.ManagedFields = []metav1.ManagedFieldsEntry{{Time: &metav1.Time{Time: time.Now()}}}
	f.informer.Update(good, stored)
	assert.Equal(t, int64(1), served(t, f.source), "the last one stays meanwhile")
	require.NoError(t, f.cluster.Get(t.Context(), secretName, stored))
	assert.Empty(t, stored.Data, "the rotation fills it")
}

// TestCertificatesAreTakenAwayWithAPause, while whoever makes them has a clock that is ahead; one that has begun stays.
func TestCertificatesAreTakenAwayWithAPause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := follow(t, interceptor.Funcs{}, secret(nil, nil))
		stored := func() *corev1.Secret {
			out := &corev1.Secret{}
			require.NoError(t, f.cluster.Get(t.Context(), secretName, out))
			return out
		}
		fill := func(certificate []byte) {
			now := stored()
			now.Data = map[string][]byte{"tls.crt": certificate, "tls.key": []byte("any")}
			require.NoError(t, f.cluster.Update(t.Context(), now))
			now.ManagedFields = []metav1.ManagedFieldsEntry{{Time: &metav1.Time{Time: time.Now()}}}
			f.informer.Add(now)
		}
		fill(begins(t, time.Now().Add(time.Hour)))
		assert.Empty(t, stored().Data, "the first goes at once")
		for range 3 {
			fill(begins(t, time.Now().Add(time.Hour)))
			assert.NotEmpty(t, stored().Data, "its maker's clock is wrong still")
		}
		time.Sleep(betweenRenewals)
		synctest.Wait()
		assert.Empty(t, stored().Data)
		fill(begins(t, time.Now().Add(time.Hour)))
		fill(begins(t, time.Now().Add(-time.Hour)))
		time.Sleep(2 * betweenRenewals)
		synctest.Wait()
		assert.NotEmpty(t, stored().Data, "nobody goes by what it said before")
	})
}
