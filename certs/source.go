// Package certs gives the webhook its serving certificate: managed by the program itself in a Secret, or mounted as
// files by someone else. Either way a renewed certificate is served from the next handshake on, without a restart.
package certs

import (
	"crypto/tls"
	"errors"
	"fmt"
	"sync/atomic"

	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// Source serves the newest certificate it was given. The zero value has none yet.
type Source struct {
	current atomic.Pointer[func(*tls.ClientHelloInfo) (*tls.Certificate, error)]
	blocked atomic.Pointer[error]
}

// GetCertificate is for tls.Config. The error says that there is no certificate yet.
func (s *Source) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	get := s.current.Load()
	if get == nil {
		return nil, errors.New("no serving certificate yet")
	}
	return (*get)(hello)
}

// Ready returns why clients cannot be served yet, nil when they can.
func (s *Source) Ready() error {
	if s.current.Load() == nil {
		return errors.New("no serving certificate yet")
	}
	if blocked := s.blocked.Load(); blocked != nil {
		return *blocked
	}
	return nil
}

// Set serves a PEM-encoded certificate and key from now on. On error the last one stays.
func (s *Source) Set(certificate, key []byte) error {
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return fmt.Errorf("serving certificate: %w", err)
	}
	get := func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &pair, nil }
	s.current.Store(&get)
	return nil
}

// Files serves the certificate and key of two files, and whatever replaces them. The error is that of files that
// cannot be read now.
func (s *Source) Files(mgr manager.Manager, certificate, key string) error {
	watcher, err := certwatcher.New(certificate, key)
	if err != nil {
		return fmt.Errorf("serving certificate: %w", err)
	}
	get := watcher.GetCertificate
	s.current.Store(&get)
	return mgr.Add(watcher)
}
