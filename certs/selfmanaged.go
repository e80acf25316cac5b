package certs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/open-policy-agent/cert-controller/pkg/rotator"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// SelfManaged says where the program keeps its own certificates.
type SelfManaged struct {
	// Secret holds the authority and the serving certificate. The chart creates it empty.
	Secret types.NamespacedName
	// Service is the name of the webhook's Service, ExtraDNSNames what clients call it besides.
	Service       string
	ExtraDNSNames []string
	// Configuration is the name of both webhook configurations, whose caBundle is kept.
	Configuration string
}

// SelfManaged makes and renews the certificate in a Secret and keeps the webhook configurations' caBundle equal to
// its authority. Each replica does so; whoever comes second finds the work done.
func (s *Source) SelfManaged(mgr manager.Manager, options SelfManaged) error {
	// The rotator waits for a mounted file before it reports ready. A Secret's mount lags by up to minutes; here the
	// certificate is taken from the API instead, and the file only says that it is being served.
	served, err := os.MkdirTemp("", "egress-governor-certs-")
	if err != nil {
		return fmt.Errorf("serving certificate: %w", err)
	}
	ready := make(chan struct{})
	waiting := errors.New("the authority is not in the webhook configurations yet")
	s.blocked.Store(&waiting)
	err = rotator.AddRotator(mgr, &rotator.CertRotator{
		SecretKey: options.Secret, CertDir: served, IsReady: ready,
		CAName: "egress-governor-ca", CAOrganization: "egress-governor",
		DNSName:       fmt.Sprintf("%s.%s.svc", options.Service, options.Secret.Namespace),
		ExtraDNSNames: options.ExtraDNSNames,
		FieldOwner:    "egress-governor-certs",
		Webhooks: []rotator.WebhookInfo{
			{Name: options.Configuration, Type: rotator.Mutating},
			{Name: options.Configuration, Type: rotator.Validating},
		},
	})
	if err != nil {
		return fmt.Errorf("certificate rotation: %w", err)
	}
	follower := &follower{source: s, secret: options.Secret, mgr: mgr, ready: ready, marker: filepath.Join(served, "tls.crt")}
	return mgr.Add(follower)
}

// follower serves whatever certificate the Secret holds.
type follower struct {
	source *Source
	secret types.NamespacedName
	mgr    manager.Manager
	ready  <-chan struct{}
	marker string
}

// NeedLeaderElection implements manager.LeaderElectionRunnable: every replica serves.
func (f *follower) NeedLeaderElection() bool { return false }

// Start implements manager.Runnable.
func (f *follower) Start(ctx context.Context) error {
	secrets, err := cache.New(f.mgr.GetConfig(), cache.Options{
		Scheme: f.mgr.GetScheme(), Mapper: f.mgr.GetRESTMapper(),
		DefaultNamespaces: map[string]cache.Config{f.secret.Namespace: {}},
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Secret{}: {Field: fields.OneTermEqualSelector("metadata.name", f.secret.Name)},
		},
	})
	if err != nil {
		return fmt.Errorf("watch Secret %s: %w", f.secret, err)
	}
	informer, err := secrets.GetInformer(ctx, &corev1.Secret{}, cache.BlockUntilSynced(false))
	if err != nil {
		return fmt.Errorf("watch Secret %s: %w", f.secret, err)
	}
	if _, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { f.take(ctx, obj) },
		UpdateFunc: func(_, obj any) { f.take(ctx, obj) },
		DeleteFunc: func(any) { f.restore(ctx) },
	}); err != nil {
		return fmt.Errorf("watch Secret %s: %w", f.secret, err)
	}
	go func() {
		select {
		case <-f.ready:
			f.source.blocked.Store(nil)
		case <-ctx.Done():
		}
	}()
	return secrets.Start(ctx)
}

func (f *follower) take(ctx context.Context, obj any) {
	secret, ok := obj.(*corev1.Secret)
	if !ok || len(secret.Data["tls.crt"]) == 0 {
		return
	}
	logger := ctrl.LoggerFrom(ctx).WithValues("secret", f.secret)
	if err := f.source.Set(secret.Data["tls.crt"], secret.Data["tls.key"]); err != nil {
		logger.Error(err, "Secret holds no usable certificate; the last one stays")
		return
	}
	if err := os.WriteFile(f.marker, secret.Data["tls.crt"], 0o600); err != nil {
		logger.Error(err, "Cannot mark the certificate as served")
		return
	}
	logger.Info("Serving the certificate of the Secret")
}

// restore puts an empty Secret in the place of a deleted one; the rotation fills it.
func (f *follower) restore(ctx context.Context) {
	empty := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: f.secret.Namespace, Name: f.secret.Name}}
	if err := f.mgr.GetClient().Create(ctx, empty); client.IgnoreAlreadyExists(err) != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Cannot restore the deleted certificate Secret", "secret", f.secret)
	}
}
