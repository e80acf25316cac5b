package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/open-policy-agent/cert-controller/pkg/rotator"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// startTimeout bounds what is asked of the API server before the manager runs.
const startTimeout = 30 * time.Second

// SelfManagedOptions say where the program keeps its own certificates.
type SelfManagedOptions struct {
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
type SelfManaged struct {
	options SelfManagedOptions
	current atomic.Pointer[tls.Certificate]
	// injected is closed once the authority is in the webhook configurations.
	injected chan struct{}
}

var _ Source = (*SelfManaged)(nil)

// NewSelfManaged returns a source that has no certificate until its manager runs.
func NewSelfManaged(options SelfManagedOptions) *SelfManaged {
	return &SelfManaged{options: options, injected: make(chan struct{})}
}

// GetCertificate implements Source.
func (s *SelfManaged) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if current := s.current.Load(); current != nil {
		return current, nil
	}
	return nil, errNone
}

// Ready implements Source.
func (s *SelfManaged) Ready() error {
	if s.current.Load() == nil {
		return errNone
	}
	select {
	case <-s.injected:
		return nil
	default:
		return errors.New("the authority is not in the webhook configurations yet")
	}
}

// AddTo implements Source.
func (s *SelfManaged) AddTo(mgr manager.Manager) error {
	// The rotator waits for a mounted file before it reports ready. A Secret's mount lags by up to minutes; here the
	// certificate is taken from the API instead, and the file only says that it is being served.
	served, err := os.MkdirTemp("", "egress-governor-certs-")
	if err != nil {
		return fmt.Errorf("serving certificate: %w", err)
	}
	// The rotator ends the program where there is no Secret: one that was deleted while no replica ran would end each.
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if err := restore(ctx, mgr.GetClient(), s.options.Secret); err != nil {
		return err
	}
	if err := rotator.AddRotator(naming(mgr, s.options.Secret), s.rotator(served)); err != nil {
		return fmt.Errorf("certificate rotation: %w", err)
	}
	follower, err := s.follower(mgr, filepath.Join(served, "tls.crt"))
	if err != nil {
		return fmt.Errorf("watch Secret %s: %w", s.options.Secret, err)
	}
	return mgr.Add(follower)
}

func (s *SelfManaged) rotator(served string) *rotator.CertRotator {
	return &rotator.CertRotator{
		SecretKey: s.options.Secret, CertDir: served, IsReady: s.injected,
		CAName: "egress-governor-ca", CAOrganization: "egress-governor",
		DNSName:       fmt.Sprintf("%s.%s.svc", s.options.Service, s.options.Secret.Namespace),
		ExtraDNSNames: s.options.ExtraDNSNames,
		FieldOwner:    "egress-governor-certs",
		Webhooks: []rotator.WebhookInfo{
			{Name: s.options.Configuration, Type: rotator.Mutating},
			{Name: s.options.Configuration, Type: rotator.Validating},
		},
	}
}

func (s *SelfManaged) follower(mgr manager.Manager, marker string) (*follower, error) {
	secrets, err := cache.New(mgr.GetConfig(), cache.Options{
		Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(),
		DefaultNamespaces: map[string]cache.Config{s.options.Secret.Namespace: {}},
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Secret{}: {Field: fields.OneTermEqualSelector("metadata.name", s.options.Secret.Name)},
		},
	})
	return &follower{secret: s.options.Secret, secrets: secrets, writer: mgr.GetClient(), serve: s.serve, marker: marker, now: time.Now}, err
}

// serve shows clients a PEM-encoded certificate from now on. On error the last one stays.
func (s *SelfManaged) serve(certificate, key []byte) error {
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return fmt.Errorf("serving certificate: %w", err)
	}
	s.current.Store(&pair)
	return nil
}
