package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
)

// onlyClientsOf returns what has a server answer none but clients with a certificate of an authority, whose PEM a file holds; every
// client where no file is given. The file is read once, so that what becomes of it later opens nothing. The error names the file.
func onlyClientsOf(file string) (func(*tls.Config), error) {
	if file == "" {
		return func(*tls.Config) {}, nil
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("client authority: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(raw) {
		return nil, fmt.Errorf("client authority: %s holds no certificate in PEM", file)
	}
	return func(c *tls.Config) { c.ClientCAs, c.ClientAuth = pool, tls.RequireAndVerifyClientCert }, nil
}
