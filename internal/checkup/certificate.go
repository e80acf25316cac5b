package checkup

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// soon is how long before its end a certificate is to be another.
const soon = 7 * 24 * time.Hour

// certificateSecret returns the Secret that the webhook serves of, by its Deployment, and whether the webhook writes it itself.
func certificateSecret(of *appsv1.Deployment) (name string, ours bool) {
	for _, volume := range of.Spec.Template.Spec.Volumes {
		if volume.Name == "certs" && volume.Secret != nil {
			return volume.Secret.SecretName, false
		}
	}
	for _, container := range of.Spec.Template.Spec.Containers {
		for _, arg := range container.Args {
			if after, is := strings.CutPrefix(arg, "--secret-name="); is {
				return after, true
			}
		}
	}
	return "", false
}

// CertificateSecret returns the name of the Secret with the certificate that a release serves by, empty where its Deployment is not known:
// no other Secret has to be read.
func (s *Snapshot) CertificateSecret() string {
	v := &view{Snapshot: s}
	if of, err := as[appsv1.Deployment](v.named(deployments, s.Release.Namespace, s.Release.Name)); err == nil {
		name, _ := certificateSecret(&of)
		return name
	}
	return ""
}

func lookAtCertificate(v *view) {
	of, err := as[appsv1.Deployment](v.named(deployments, v.Release.Namespace, v.Release.Name))
	if err != nil {
		v.cannot("the webhook's Deployment is not there, so it is not known which certificate is served")
		return
	}
	name, ours := certificateSecret(&of)
	if name == "" {
		v.cannot("the webhook's Deployment names no Secret of a certificate")
		return
	}
	object, fix := titleOf("Secret", v.Release.Namespace, name), "see who renews it, and why he does not"
	if ours {
		fix = fmt.Sprintf("see in the webhook's log why it does not renew it; kubectl -n %s delete secret %s has it made anew", v.Release.Namespace, name)
	}
	wrong := func(code, message string) {
		v.find(Finding{Code: code, Severity: Error, Object: object, Message: message, Why: "the API server takes no answer of the webhook's, and refuses whatever it asks about", Fix: fix})
	}
	secret, err := as[corev1.Secret](v.named(secrets, v.Release.Namespace, name))
	if err != nil {
		wrong("certificate-missing", "the Secret of the webhook's certificate does not exist")
		return
	}
	leaf, between, err := chain(secret.Data[corev1.TLSCertKey])
	if err != nil {
		wrong("certificate-missing", fmt.Sprintf("the Secret holds no certificate: %s", err))
		return
	}
	switch left := leaf.NotAfter.Sub(v.Now); {
	case left <= 0:
		wrong("certificate-expired", "the webhook's certificate ended "+leaf.NotAfter.UTC().Format(time.RFC3339))
	case left < soon:
		wrong("certificate-expires", fmt.Sprintf("the webhook's certificate ends %s, and nobody has renewed it", leaf.NotAfter.UTC().Format(time.RFC3339)))
	}
	v.lookAtTrust(leaf, between, wrong)
}

// lookAtTrust holds the certificate to the authorities of the webhook configurations, one sentence for all that say the same.
func (v *view) lookAtTrust(leaf *x509.Certificate, between *x509.CertPool, wrong func(code, message string)) {
	said := map[string]bool{}
	for _, each := range v.webhooks() {
		roots := x509.NewCertPool()
		var message string
		switch given := roots.AppendCertsFromPEM(each.ClientConfig.CABundle); {
		case !given:
			message = fmt.Sprintf("%s %s has no caBundle", each.kind, each.configuration)
		default:
			options := x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: v.Now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
			if of := each.ClientConfig.Service; of != nil {
				options.DNSName = fmt.Sprintf("%s.%s.svc", of.Name, of.Namespace)
			}
			if _, err := leaf.Verify(options); err != nil && v.Now.Before(leaf.NotAfter) {
				message = fmt.Sprintf("by the caBundle of %s %s the webhook's certificate is not trusted: %s", each.kind, each.configuration, err)
			}
		}
		if message != "" && !said[message] {
			said[message] = true
			wrong("certificate-untrusted", message)
		}
	}
}

// chain reads a certificate and those between it and its authority.
func chain(raw []byte) (leaf *x509.Certificate, between *x509.CertPool, err error) {
	between = x509.NewCertPool()
	for block, rest := pem.Decode(bytes.TrimSpace(raw)); block != nil; block, rest = pem.Decode(rest) {
		one, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, nil, err
		}
		if leaf == nil {
			leaf = one
			continue
		}
		between.AddCert(one)
	}
	if leaf == nil {
		return nil, nil, errors.New("it is empty")
	}
	return leaf, between, nil
}
