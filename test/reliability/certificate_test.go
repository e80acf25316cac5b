package reliability

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/test/controlplane"
)

// serviceName is what the API server calls the webhook.
const serviceName = "egress-governor-webhook." + controlplane.Namespace + ".svc"

// secretKey names the Secret of the certificates.
var secretKey = client.ObjectKey{Namespace: controlplane.Namespace, Name: "egress-governor-webhook-cert"}

// span is when a certificate is valid, from now.
type span struct{ from, to time.Duration }

var (
	past     = span{-48 * time.Hour, -time.Hour}
	tomorrow = span{24 * time.Hour, 10 * 365 * 24 * time.Hour}
)

// vouched returns why the certificate of the Secret is not sound now: it is none, or what the Secret held before, or no authority of a
// webhook configuration vouches for it.
func vouched(ctx context.Context, before []byte) error {
	secret := &corev1.Secret{}
	mutating, validating := &admissionregistrationv1.MutatingWebhookConfiguration{}, &admissionregistrationv1.ValidatingWebhookConfiguration{}
	release := client.ObjectKey{Name: controlplane.Release}
	if err := errors.Join(world.plane.Client.Get(ctx, secretKey, secret), world.plane.Client.Get(ctx, release, mutating), world.plane.Client.Get(ctx, release, validating)); err != nil {
		return err
	}
	serving := secret.Data[corev1.TLSCertKey]
	block, _ := pem.Decode(serving)
	if block == nil || bytes.Equal(serving, before) {
		return errors.New("the Secret has no other certificate")
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return err
	}
	bundles := [][]byte{secret.Data["ca.crt"]}
	for i := range mutating.Webhooks {
		bundles = append(bundles, mutating.Webhooks[i].ClientConfig.CABundle)
	}
	for i := range validating.Webhooks {
		bundles = append(bundles, validating.Webhooks[i].ClientConfig.CABundle)
	}
	for _, bundle := range bundles {
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(bundle)
		if _, err := leaf.Verify(x509.VerifyOptions{DNSName: serviceName, Roots: roots}); err != nil {
			return err
		}
	}
	return nil
}

// certificates writes into a Secret what a rotation with another clock would have: an authority, the one it has where none is to be
// made, and a serving certificate.
func certificates(secret *corev1.Secret, authority *span, serving span) error {
	if authority != nil {
		ca := template("egress-governor-ca", *authority)
		ca.IsCA, ca.KeyUsage = true, ca.KeyUsage|x509.KeyUsageCertSign
		if err := sign(secret, "ca.crt", "ca.key", ca, nil, nil); err != nil {
			return err
		}
	}
	der, _ := pem.Decode(secret.Data["ca.crt"])
	ca, err := x509.ParseCertificate(der.Bytes)
	if err != nil {
		return err
	}
	der, _ = pem.Decode(secret.Data["ca.key"])
	key, err := x509.ParsePKCS1PrivateKey(der.Bytes)
	if err != nil {
		return err
	}
	leaf := template(serviceName, serving)
	leaf.DNSNames = append(leaf.DNSNames, "localhost")
	leaf.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	return sign(secret, corev1.TLSCertKey, corev1.TLSPrivateKeyKey, leaf, ca, key)
}

func template(name string, valid span) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(valid.from), NotAfter: time.Now().Add(valid.to), BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
	}
}

// sign writes a certificate and its key, signed by itself where there is no authority.
func sign(secret *corev1.Secret, certName, keyName string, of, by *x509.Certificate, with *rsa.PrivateKey) error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	if by == nil {
		by, with = of, key
	}
	der, err := x509.CreateCertificate(rand.Reader, of, by, key.Public(), with)
	if err != nil {
		return err
	}
	secret.Data[certName] = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	secret.Data[keyName] = pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	return nil
}
