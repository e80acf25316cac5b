package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/cert"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/egress-governor/egress-governor/test/controlplane"
)

// servePair is the process of a pair of webhooks that allow everything: the least that a mutating and a validating webhook of
// controller-runtime take.
func servePair(ctx context.Context, folder string, port int) error {
	server := webhook.NewServer(webhook.Options{
		Host: "127.0.0.1", Port: port, CertDir: folder, TLSOpts: []func(*tls.Config){func(c *tls.Config) { c.MinVersion = tls.VersionTLS13 }},
	})
	for _, path := range []string{"/mutate", "/validate"} {
		server.Register(path, &webhook.Admission{Handler: admission.HandlerFunc(func(context.Context, admission.Request) admission.Response {
			return admission.Allowed("")
		})})
	}
	server.Register("/patch", &webhook.Admission{Handler: admission.HandlerFunc(func(context.Context, admission.Request) admission.Response {
		out, of := admission.Allowed(""), admissionv1.PatchTypeJSONPatch
		out.Patch, out.PatchType = []byte(sealing), &of
		return out
	})})
	return server.Start(ctx)
}

// sealing is a patch such as ours seals entries by, whatever an entry says.
const sealing = `[
{"op": "add", "path": "/metadata/annotations", "value": {"egress-governor.io/intent":
"[{\"was\":\"DNS\",\"now\":\"DNS_ROUND_ROBIN\",\"paths\":[\"spec.resolution\"]},{\"now\":[{\"address\":\"gateway.istio-system.svc.cluster.local\"}],\"paths\":[\"spec.endpoints\"]}]"}},
{"op": "add", "path": "/spec/endpoints", "value": [{"address": "gateway.istio-system.svc.cluster.local", "ports": {"http": 80, "tls": 443}}]}]`

// startPair runs it, and has the API server ask it about entries of its variant.
func (r *run) startPair(ctx context.Context) error {
	ports, err := controlplane.FreePorts(1)
	if err != nil {
		return err
	}
	port := ports[0]
	raw, key, err := cert.GenerateSelfSignedCertKey("localhost", []net.IP{net.IPv4(127, 0, 0, 1)}, nil)
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{"tls.crt": raw, "tls.key": key} {
		if err := os.WriteFile(filepath.Join(r.folder, name), content, 0o600); err != nil {
			return err
		}
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	r.pair = exec.Command(self, "pair", "--folder", r.folder, "--port", fmt.Sprint(port))
	r.pair.Stderr = os.Stderr
	if err := r.pair.Start(); err != nil {
		return err
	}
	listens := func(ctx context.Context) (bool, error) {
		connection, err := (&net.Dialer{}).DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			return false, nil
		}
		return true, connection.Close()
	}
	if err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, 30*time.Second, true, listens); err != nil {
		return fmt.Errorf("the pair does not listen: %w", err)
	}
	return r.configurePair(ctx, port, raw)
}

func (r *run) configurePair(ctx context.Context, port int, ca []byte) error {
	at := func(path string) admissionregistrationv1.WebhookClientConfig {
		url := fmt.Sprintf("https://localhost:%d%s", port, path)
		return admissionregistrationv1.WebhookClientConfig{URL: &url, CABundle: ca}
	}
	none, fail := admissionregistrationv1.SideEffectClassNone, admissionregistrationv1.Fail
	rules := []admissionregistrationv1.RuleWithOperations{serviceEntries()}
	for name, mutate := range map[string]string{"pair": "/mutate", "patches": "/patch"} {
		of, meta := named(name)[0].selector(), metav1.ObjectMeta{Name: name}
		err := r.plane.Client.Create(ctx, &admissionregistrationv1.MutatingWebhookConfiguration{ObjectMeta: meta, Webhooks: []admissionregistrationv1.MutatingWebhook{{
			Name: "mutate." + name + ".test", ClientConfig: at(mutate), Rules: rules, NamespaceSelector: of, SideEffects: &none, FailurePolicy: &fail, AdmissionReviewVersions: []string{"v1"},
		}}})
		if err != nil {
			return err
		}
		err = r.plane.Client.Create(ctx, &admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: meta, Webhooks: []admissionregistrationv1.ValidatingWebhook{{
			Name: "validate." + name + ".test", ClientConfig: at("/validate"), Rules: rules, NamespaceSelector: of, SideEffects: &none, FailurePolicy: &fail, AdmissionReviewVersions: []string{"v1"},
		}}})
		if err != nil {
			return err
		}
	}
	return nil
}

// stopPair ends the process.
func (r *run) stopPair() error {
	if r.pair == nil {
		return nil
	}
	if err := r.pair.Process.Kill(); err != nil {
		return err
	}
	_ = r.pair.Wait() // killed
	return nil
}
