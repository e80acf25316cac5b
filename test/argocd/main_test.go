// Package argocd has Argo CD's own code compare and sync the chart, and what tenants write, on a real kube-apiserver with the webhook
// serving. It is a module of its own: Argo CD is built with another Kubernetes than we are.
package argocd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/sirupsen/logrus"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/klog/v2"
)

// within bounds every wait for what a controller or a watch does, startWithin that for a control plane.
const (
	within      = 60 * time.Second
	startWithin = 3 * time.Minute
)

// values are the chart's: a second gateway, whose Service nobody makes, and suspension of whatever policies say.
const values = `
suspend: {maxShare: 1}
config:
  gateways:
  - {name: missing, service: missing.istio-system.svc.cluster.local, selector: {istio: missing}, ports: {http: 80, tls: 443}, namespaceSelector: {matchLabels: {egress: missing}}}
  - {name: default, service: istio-egressgateway.istio-system.svc.cluster.local, selector: {istio: egressgateway}, ports: {http: 80, tls: 443}, namespaceSelector: {}}
`

var (
	// folder is that of the control plane of the package.
	folder string
	// shared is the Argo CD that looks at it, chart what the chart makes.
	shared *argoCD
	chart  []*unstructured.Unstructured
)

func TestMain(m *testing.M) {
	klog.SetLogger(logr.Discard())
	logrus.SetOutput(io.Discard)
	os.Exit(run(m))
}

func run(m *testing.M) int {
	stop, err := start()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if err := stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// start starts the control plane, has Argo CD sync the chart into it, and returns when the webhook serves.
func start() (stop func() error, err error) {
	root, err := filepath.Abs("../..")
	if err != nil {
		return nil, err
	}
	folder = filepath.Join(root, ".run", "argocd")
	if err := errors.Join(os.RemoveAll(folder), os.MkdirAll(folder, 0o755), os.WriteFile(filepath.Join(folder, "values.yaml"), []byte(values), 0o600)); err != nil {
		return nil, err
	}
	assets := os.Getenv("KUBEBUILDER_ASSETS")
	if assets == "" {
		assets = filepath.Join(root, ".run", "assets")
	}
	bin := filepath.Join(root, ".run", "bin")
	cmd := exec.Command(filepath.Join(bin, "controlplane"), "serve", "--others-install", "--folder", folder, "--assets", assets,
		"--webhook", filepath.Join(bin, "webhook"), "--values", filepath.Join(folder, "values.yaml"))
	cmd.Dir, cmd.Stderr = root, os.Stderr
	cmd.Env = append(os.Environ(), "GOWORK=off")
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("make build: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	ctx, cancel := context.WithCancel(context.Background())
	stop = func() error {
		cancel()
		if shared != nil {
			shared.cluster.Invalidate() // the API server waits for those who watch
		}
		return errors.Join(cmd.Process.Signal(syscall.SIGTERM), <-ended)
	}
	if err := errors.Join(appears("chart.yaml", ended), install(ctx), appears("ready", ended)); err != nil {
		return nil, errors.Join(err, stop())
	}
	return stop, nil
}

// appears waits for a file of the control plane's.
func appears(name string, ended chan error) error {
	for deadline := time.Now().Add(startWithin); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(folder, name)); err == nil {
			return nil
		}
		select {
		case err := <-ended:
			ended <- err
			return fmt.Errorf("the control plane ended: %w", err)
		default:
		}
	}
	return fmt.Errorf("there is no %s", name)
}

// install has Argo CD sync the chart as it does where nothing is said: by client-side apply.
func install(ctx context.Context) error {
	var err error
	if shared, err = newArgoCD(ctx, filepath.Join(folder, "kubeconfig")); err != nil {
		return err
	}
	raw, err := os.ReadFile(filepath.Join(folder, "chart.yaml"))
	if err != nil {
		return err
	}
	if chart, err = split(raw); err != nil {
		return err
	}
	release := shared.application("egress-governor", "egress-governor", chart)
	return release.sync(ctx)
}
