package certs

import (
	"crypto/tls"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// Files serves the certificate and key of two files, and whatever replaces them.
type Files struct {
	watcher *certwatcher.CertWatcher
}

var _ Source = (*Files)(nil)

// NewFiles reads both files. The error is that of files that cannot be used now.
func NewFiles(certificate, key string) (*Files, error) {
	watcher, err := certwatcher.New(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("serving certificate: %w", err)
	}
	return &Files{watcher}, nil
}

// GetCertificate implements Source.
func (f *Files) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	return f.watcher.GetCertificate(hello)
}

// Ready implements Source: the files have been read, and whoever wrote them keeps the authority in the webhook
// configurations too.
func (f *Files) Ready() error { return nil }

// AddTo implements Source.
func (f *Files) AddTo(mgr manager.Manager) error { return mgr.Add(f.watcher) }
