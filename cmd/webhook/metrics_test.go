package main

import (
	"crypto/tls"
	"encoding/pem"
	"errors"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/util/cert"

	"github.com/egress-governor/egress-governor/certs"
)

// serving is a source with one certificate, or none.
type serving struct {
	certs.Source
	certificate *tls.Certificate
}

func (s serving) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if s.certificate == nil {
		return nil, errors.New("none yet")
	}
	return s.certificate, nil
}

func TestTheEndOfTheCertificateIsTold(t *testing.T) {
	t.Parallel()
	assert.InDelta(t, 0, testutil.ToFloat64(expiry(serving{})), 0)
	raw, _, err := cert.GenerateSelfSignedCertKey("webhook.test", nil, nil)
	require.NoError(t, err)
	block, _ := pem.Decode(raw)
	ends := testutil.ToFloat64(expiry(serving{certificate: &tls.Certificate{Certificate: [][]byte{block.Bytes}}}))
	assert.InDelta(t, float64(time.Now().AddDate(1, 0, 0).Unix()), ends, 2*86400)
	assert.InDelta(t, 0, testutil.ToFloat64(expiry(serving{certificate: &tls.Certificate{Certificate: [][]byte{{1}}}})), 0)
}
