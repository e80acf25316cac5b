// Package helm has helm's own program install, upgrade and uninstall the chart on a real kube-apiserver, with the webhook serving.
package helm

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/test/controlplane"
)

// within bounds every wait for what a controller or a watch does.
const within = 60 * time.Second

// release is the one on a control plane, and the pod that the cluster would run of it.
type release struct {
	*controlplane.ControlPlane
	root, folder    string
	helm, egressctl string
	values          string
	pod             *controlplane.Replica
	// services are those that the chart has webhooks called by, which kube-apiserver cannot reach here.
	services map[string]*admissionregistrationv1.ServiceReference
}

func started(t *testing.T) *release {
	t.Helper()
	ctrl.SetLogger(logr.Discard())
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	require.NoError(t, controlplane.BuildWebhook(root))
	out := &release{root: root, values: filepath.Join(t.TempDir(), "values.yaml"), services: map[string]*admissionregistrationv1.ServiceReference{}}
	out.egressctl, err = controlplane.BuildEgressctl(root)
	require.NoError(t, err)
	out.helm, err = controlplane.BuildHelm(root)
	require.NoError(t, err)
	raw, err := yaml.Marshal(values())
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(out.values, raw, 0o600))
	options := controlplane.InTree(root, "helm")
	options.Bare, out.folder = true, options.Folder
	out.ControlPlane, err = controlplane.Start(t.Context(), options)
	require.NoError(t, err)
	t.Cleanup(func() {
		out.stop(t)
		require.NoError(t, out.Stop())
	})
	return out
}

// values have Istio's gateway for some namespaces, and one that the chart makes for the others.
func values() map[string]any {
	plain := map[string]any{"matchLabels": map[string]any{"egress": "plain"}}
	return map[string]any{
		"gateway": map[string]any{"create": true},
		"config": map[string]any{"gateways": []any{
			controlplane.GatewayValues("default", controlplane.GatewayNamespace, controlplane.GatewayService, "egressgateway", plain),
		}},
	}
}

// run runs a program, and returns what it says.
func (r *release) run(t *testing.T, program string, args ...string) (said string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir = r.root
	cmd.Env = append(os.Environ(), "KUBECONFIG="+r.Kubeconfig)
	for _, home := range []string{"CACHE", "CONFIG", "DATA"} {
		cmd.Env = append(cmd.Env, "HELM_"+home+"_HOME="+filepath.Join(r.folder, "home"))
	}
	raw, err := cmd.CombinedOutput()
	return string(raw), err
}

// helms runs helm, which has to succeed.
func (r *release) helms(t *testing.T, args ...string) {
	t.Helper()
	said, err := r.run(t, r.helm, append(args, "-n", controlplane.Namespace)...)
	require.NoError(t, err, said)
}

// installs has helm install or upgrade the release, by a subcommand and its flags; then a pod of it runs and is asked.
func (r *release) installs(t *testing.T, args ...string) {
	t.Helper()
	r.point(t, "")
	r.helms(t, append(args, controlplane.Release, "charts/egress-governor", "--values", r.values)...)
	r.stop(t)
	config := &corev1.ConfigMap{}
	require.NoError(t, r.Client.Get(t.Context(), client.ObjectKey{Namespace: controlplane.Namespace, Name: controlplane.Release}, config))
	require.NoError(t, os.WriteFile(filepath.Join(r.folder, "config.yaml"), []byte(config.Data["config.yaml"]), 0o600))
	var err error
	r.pod, err = r.StartReplica(t.Context(), controlplane.ReplicaOptions{
		Name: "pod", Server: r.Config.Host, CA: r.Config.CAData, Args: []string{"--shutdown-delay=0s"},
	})
	require.NoError(t, err)
	// The certificate is of names.
	r.point(t, strings.Replace(r.pod.Address, "127.0.0.1", "localhost", 1))
}

// stop ends the pod, as the cluster does with those of a Deployment that is gone or another.
func (r *release) stop(t *testing.T) {
	t.Helper()
	if r.pod != nil {
		require.NoError(t, r.pod.Stop())
	}
	r.pod = nil
}

// point has the webhook configurations, where there are any, name a pod by its address, or the Service as helm has written it.
func (r *release) point(t *testing.T, address string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	to := func(name string, of *admissionregistrationv1.WebhookClientConfig) {
		if of.Service != nil {
			r.services[name] = of.Service
		}
		service := r.services[name]
		of.URL, of.Service = nil, service
		if address != "" {
			url := fmt.Sprintf("https://%s%s", address, *service.Path)
			of.URL, of.Service = &url, nil
		}
	}
	key := client.ObjectKey{Name: controlplane.Release}
	mutating, validating := &admissionregistrationv1.MutatingWebhookConfiguration{}, &admissionregistrationv1.ValidatingWebhookConfiguration{}
	until(t, "webhooks are called elsewhere", func() bool {
		if client.IgnoreNotFound(r.Client.Get(ctx, key, mutating)) != nil || client.IgnoreNotFound(r.Client.Get(ctx, key, validating)) != nil {
			return false
		}
		for i := range mutating.Webhooks {
			to(mutating.Webhooks[i].Name, &mutating.Webhooks[i].ClientConfig)
		}
		for i := range validating.Webhooks {
			to(validating.Webhooks[i].Name, &validating.Webhooks[i].ClientConfig)
		}
		return len(mutating.Webhooks) == 0 || r.Client.Update(ctx, mutating) == nil && r.Client.Update(ctx, validating) == nil
	})
}
