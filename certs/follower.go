package certs

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// follower serves whatever certificate the Secret holds.
type follower struct {
	secret types.NamespacedName
	// secrets holds that one alone; the follower runs it.
	secrets cache.Informers
	writer  client.Writer
	// serve leaves the last certificate in place where it returns an error.
	serve func(certificate, key []byte) error
	// marker is the file that tells the rotator of a certificate that is being served.
	marker string
	// now is the clock.
	now func() time.Time

	mu sync.Mutex
	// renewed is when a certificate that had not begun was taken away last, again when the next is looked at, nil for never.
	renewed time.Time
	again   *time.Timer
	// said counts how often the Secret said something.
	said int
}

// NeedLeaderElection implements manager.LeaderElectionRunnable: every replica serves.
func (f *follower) NeedLeaderElection() bool { return false }

// Start implements manager.Runnable.
func (f *follower) Start(ctx context.Context) error {
	informer, err := f.secrets.GetInformer(ctx, &corev1.Secret{}, cache.BlockUntilSynced(false))
	if err != nil {
		return fmt.Errorf("watch Secret %s: %w", f.secret, err)
	}
	if _, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { f.take(ctx, obj) },
		UpdateFunc: func(_, obj any) { f.take(ctx, obj) },
		DeleteFunc: func(any) {
			if err := restore(ctx, f.writer, f.secret); err != nil {
				ctrl.LoggerFrom(ctx).Error(err, "Cannot restore the deleted certificate Secret", "secret", f.secret)
			}
		},
	}); err != nil {
		return fmt.Errorf("watch Secret %s: %w", f.secret, err)
	}
	return f.secrets.Start(ctx)
}

func (f *follower) take(ctx context.Context, obj any) {
	secret, ok := obj.(*corev1.Secret)
	if !ok {
		return
	}
	f.forget()
	if len(secret.Data[corev1.TLSCertKey]) == 0 {
		return
	}
	if unborn(secret, f.now()) {
		f.renewInTime(ctx, secret)
		return
	}
	logger := ctrl.LoggerFrom(ctx).WithValues("secret", f.secret)
	if err := f.serve(secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey]); err != nil {
		logger.Error(err, "Secret holds no usable certificate; the last one stays")
		return
	}
	if err := os.WriteFile(f.marker, secret.Data[corev1.TLSCertKey], 0o600); err != nil {
		logger.Error(err, "Cannot mark the certificate as served")
		return
	}
	logger.Info("Serving the certificate of the Secret")
}

// restore puts an empty Secret in the place of a deleted one, if it is; the rotation fills it.
func restore(ctx context.Context, writer client.Writer, secret types.NamespacedName) error {
	empty := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: secret.Namespace, Name: secret.Name}}
	if err := writer.Create(ctx, empty); client.IgnoreAlreadyExists(err) != nil {
		return fmt.Errorf("restore Secret %s: %w", secret, err)
	}
	return nil
}
