package reliability

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/test/controlplane"
)

// secretKey names the Secret of the certificates.
var secretKey = client.ObjectKey{Namespace: controlplane.Namespace, Name: "egress-governor-webhook-cert"}

// span is when a certificate is valid, from now.
type span struct{ from, to time.Duration }

var (
	past     = span{-48 * time.Hour, -time.Hour}
	tomorrow = span{24 * time.Hour, 10 * 365 * 24 * time.Hour}
)

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
	leaf := template("egress-governor-webhook."+controlplane.Namespace+".svc", serving)
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
