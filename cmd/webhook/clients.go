package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
)

// onlyClientsOf has a server answer none but clients with a certificate of an authority, whose PEM a file holds; every
// client where no file is given. The error names the file.
func onlyClientsOf(c *tls.Config, file string) error {
	if file == "" {
		return nil
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("client authority: %w", err)
	}
	c.ClientCAs = x509.NewCertPool()
	if !c.ClientCAs.AppendCertsFromPEM(raw) {
		return fmt.Errorf("client authority: %s holds no certificate in PEM", file)
	}
	c.ClientAuth = tls.RequireAndVerifyClientCert
	return nil
}
