package certs

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"time"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
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

// renew empties the Secret, unless it has changed meanwhile; the rotation fills it.
func (f *follower) renew(ctx context.Context, secret *corev1.Secret) {
	empty := secret.DeepCopy()
	empty.Data = nil
	logger := ctrl.LoggerFrom(ctx).WithValues("secret", f.secret)
	if err := f.writer.Update(ctx, empty); client.IgnoreNotFound(err) != nil {
		logger.Error(err, "Cannot renew a certificate that has not begun")
		return
	}
	logger.Info("Secret held a certificate that has not begun; it is made anew")
}
