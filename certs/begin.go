package certs

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
)

// unborn says that a certificate of a Secret had not begun when the API server stored it, by the API server's clock, which is the
// one that counts, and has not by ours. A replica whose clock ran ahead made it. The rotation looks at the end alone.
func unborn(secret *corev1.Secret, now time.Time) bool {
	var stored time.Time
	for _, write := range secret.ManagedFields {
		if write.Time != nil && write.Time.After(stored) {
			stored = write.Time.Time
		}
	}
	if stored.IsZero() {
		return false
	}
	for _, name := range []string{"ca.crt", corev1.TLSCertKey} {
		if block, _ := pem.Decode(secret.Data[name]); block != nil {
			if of, err := x509.ParseCertificate(block.Bytes); err == nil && of.NotBefore.After(stored) && of.NotBefore.After(now) {
				return true
			}
		}
	}
	return false
}

// betweenRenewals is how long a certificate that has not begun stays where the one before was taken away: as long as its maker's clock is
// ahead the next is no better, and each is written to the Secret and to both webhook configurations.
const betweenRenewals = time.Minute

// renewInTime renews the Secret, now or after that time, if it says the same then.
func (f *follower) renewInTime(ctx context.Context, secret *corev1.Secret) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if wait := betweenRenewals - f.now().Sub(f.renewed); wait > 0 {
		said := f.said
		f.again = time.AfterFunc(wait, func() {
			if f.still(said) && ctx.Err() == nil {
				f.take(ctx, secret)
			}
		})
		return
	}
	f.renewed = f.now()
	f.renew(ctx, secret)
}

// still says whether the Secret says what it did: a timer may run out as it is stopped.
func (f *follower) still(said int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.said == said
}

// forget looks no more at what the Secret said before.
func (f *follower) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.said++
	if f.again != nil {
		f.again.Stop()
		f.again = nil
	}
}

// renew empties the Secret, unless it has changed meanwhile; the rotation fills it.
func (f *follower) renew(ctx context.Context, secret *corev1.Secret) {
	empty := secret.DeepCopy()
	empty.Data = nil
	logger := ctrl.LoggerFrom(ctx).WithValues("secret", f.secret)
	err := f.writer.Update(ctx, empty)
	switch {
	case apierrors.IsConflict(err), apierrors.IsNotFound(err):
		return
	case err != nil:
		logger.Error(err, "Cannot renew a certificate that has not begun")
		return
	}
	logger.Info("Secret held a certificate that has not begun; it is made anew")
}
