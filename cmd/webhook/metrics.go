package main

import (
	"crypto/x509"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/egress-governor/egress-governor/certs"
)

// expiry tells when the certificate ends that is served now.
func expiry(of certs.Source) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "egress_governor_certificate_expiry_timestamp_seconds",
		Help: "When the serving certificate of this replica ends; 0 while it has none.",
	}, func() float64 {
		served, err := of.GetCertificate(nil)
		if err != nil || len(served.Certificate) == 0 {
			return 0
		}
		leaf, err := x509.ParseCertificate(served.Certificate[0])
		if err != nil {
			return 0
		}
		return float64(leaf.NotAfter.Unix())
	})
}
