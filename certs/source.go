// Package certs gives the webhook its serving certificate: managed by the program itself in a Secret, or mounted as
// files by someone else. Either way a renewed certificate is served from the next handshake on, without a restart.
package certs

import (
	"crypto/tls"
	"errors"

	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// Source serves the newest certificate it knows.
type Source interface {
	// GetCertificate is for tls.Config. The error says that there is no certificate yet.
	GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// Ready returns why clients cannot be served yet, nil when they can.
	Ready() error
	// AddTo has the manager keep the certificate new, from its start on.
	AddTo(manager.Manager) error
}

var errNone = errors.New("no serving certificate yet")
