// Package controlplane runs a real kube-apiserver and etcd with Istio's CRDs, the rendered chart and the real webhook
// binary, on loopback and without a container engine.
package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
)

const (
	// Namespace is that of the release.
	Namespace = "egress-governor"
	// Release is its name and that of everything the chart makes.
	Release = "egress-governor"
	// GatewayNamespace is that of the egress gateway in the chart's default values.
	GatewayNamespace = "istio-system"
	// GatewayService is the name of its Service.
	GatewayService = "istio-egressgateway"
)

// Options say where things are.
type Options struct {
	// Folder takes kubeconfigs and logs.
	Folder string
	// Assets is the folder of kube-apiserver and etcd.
	Assets string
	// Webhook is the webhook binary.
	Webhook string
	// WebhookFlags are flags of it besides.
	WebhookFlags []string
	// Values are the chart's; its own by default.
	Values map[string]any
	// GatewayNamespaces are those of further egress gateways.
	GatewayNamespaces []string
	// Bare has no webhook started: replicas are.
	Bare bool
	// Installer applies what the chart makes in the place of helm, all of it.
	Installer func(ctx context.Context, c client.Client, objects []*unstructured.Unstructured) error
	// AuditWrites has the audit log keep what the webhook writes.
	AuditWrites bool
	// Traces is the address of an OTLP receiver to which kube-apiserver tells every request; none by default.
	Traces string
}

// ControlPlane is a running one.
type ControlPlane struct {
	options Options
	env     *envtest.Environment
	webhook *process
	logs    []io.Closer
	// restarted are the processes in the place of those that env started, by name.
	restarted map[string]*process
	// installed is what the chart made last.
	installed map[string]*unstructured.Unstructured
	// variables are those of the webhook's environment that the chart gives.
	variables []string

	// Config is the administrator's, Client speaks with it.
	Config *rest.Config
	Client client.Client
	// Kubeconfig is a file for the administrator.
	Kubeconfig string
	// Metrics is where the webhook tells its own.
	Metrics string
	// ReadyAfter is how long the webhook took to be ready when it started last.
	ReadyAfter time.Duration
	// AuditLog is a file with what is done in the namespace break-glass, and with what the webhook writes where that is asked for.
	AuditLog string
}

// Start starts everything and returns when the webhook is ready. On error nothing is left running.
func Start(ctx context.Context, options Options) (*ControlPlane, error) {
	out := &ControlPlane{options: options}
	if err := out.start(ctx); err != nil {
		return nil, errors.Join(err, out.Stop())
	}
	return out, nil
}

func (c *ControlPlane) start(ctx context.Context) error {
	for _, name := range []string{"kube-apiserver", "etcd"} {
		if _, err := os.Stat(filepath.Join(c.options.Assets, name)); err != nil {
			return fmt.Errorf("%s is missing (run make assets, or name its folder in KUBEBUILDER_ASSETS): %w", name, err)
		}
	}
	if err := os.MkdirAll(c.options.Folder, 0o755); err != nil {
		return err
	}
	crds, err := istioCRDs(ctx)
	if err != nil {
		return err
	}
	c.env = &envtest.Environment{
		BinaryAssetsDirectory: c.options.Assets, ErrorIfCRDPathMissing: true,
		CRDInstallOptions: envtest.CRDInstallOptions{Paths: []string{crds}},
	}
	apiserver, etcd := c.env.ControlPlane.GetAPIServer(), &envtest.Etcd{}
	c.env.ControlPlane.Etcd = etcd
	for name, outputs := range map[string][]*io.Writer{"kube-apiserver": {&apiserver.Out, &apiserver.Err}, "etcd": {&etcd.Out, &etcd.Err}} {
		log, err := os.Create(filepath.Join(c.options.Folder, name+".log"))
		if err != nil {
			return err
		}
		c.logs = append(c.logs, log)
		*outputs[0], *outputs[1] = log, log
	}
	if err := errors.Join(c.audit(apiserver), c.traces(apiserver)); err != nil {
		return err
	}
	if c.Config, err = c.env.Start(); err != nil {
		return fmt.Errorf("kube-apiserver: %w", err)
	}
	if c.Client, err = newClient(c.Config); err != nil {
		return err
	}
	if err := c.writeKubeconfig(); err != nil {
		return err
	}
	if err := c.createNamespaces(ctx); err != nil {
		return err
	}
	if err := c.CreateGateway(ctx, GatewayNamespace, GatewayService, "egressgateway"); err != nil {
		return err
	}
	if c.options.Bare {
		return nil
	}
	return c.StartWebhook(ctx)
}

// auditPolicy notes down what tests read.
const auditPolicy = `{"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
"rules": [%s{"level": "Metadata", "namespaces": ["break-glass"]}, {"level": "None"}]}`

// writesPolicy notes down what the webhook writes, but for its lease.
const writesPolicy = `{"level": "None", "resources": [{"group": "coordination.k8s.io"}]},
{"level": "Metadata", "users": ["system:serviceaccount:` + Namespace + ":" + Release + `"], "verbs": ["create", "update", "patch", "delete", "deletecollection"]}, `

func (c *ControlPlane) audit(apiserver *envtest.APIServer) error {
	policy := filepath.Join(c.options.Folder, "audit-policy.yaml")
	c.AuditLog = filepath.Join(c.options.Folder, "audit.log")
	apiserver.Configure().Append("audit-policy-file", policy).Append("audit-log-path", c.AuditLog)
	writes := ""
	if c.options.AuditWrites {
		writes = writesPolicy
	}
	// The API server adds to what it finds, which is another run's.
	if err := os.Remove(c.AuditLog); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.WriteFile(policy, fmt.Appendf(nil, auditPolicy, writes), 0o600)
}

func (c *ControlPlane) traces(apiserver *envtest.APIServer) error {
	if c.options.Traces == "" {
		return nil
	}
	file := filepath.Join(c.options.Folder, "tracing.yaml")
	apiserver.Configure().Append("tracing-config-file", file)
	return os.WriteFile(file, fmt.Appendf(nil, "apiVersion: apiserver.config.k8s.io/v1beta1\nkind: TracingConfiguration\nendpoint: %s\nsamplingRatePerMillion: 1000000\n", c.options.Traces), 0o600)
}

// Configure sets the chart's values for when the webhook starts next.
func (c *ControlPlane) Configure(values map[string]any) { c.options.Values = values }

// Stop stops everything; it is safe to call on what has not started.
func (c *ControlPlane) Stop() error {
	err := c.StopWebhook()
	for _, restarted := range c.restarted {
		err = errors.Join(err, restarted.end())
	}
	c.restarted = nil
	if c.env != nil {
		err = errors.Join(err, c.env.Stop())
	}
	for _, log := range c.logs {
		err = errors.Join(err, log.Close())
	}
	c.env, c.logs = nil, nil
	return err
}

func newClient(config *rest.Config) (client.Client, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), networkingv1.AddToScheme(scheme),
		apiextensionsv1.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	return client.New(config, client.Options{Scheme: scheme})
}

func (c *ControlPlane) writeKubeconfig() error {
	admin, err := c.env.AddUser(envtest.User{Name: "admin", Groups: []string{"system:masters"}}, nil)
	if err != nil {
		return err
	}
	raw, err := admin.KubeConfig()
	if err != nil {
		return err
	}
	c.Kubeconfig = filepath.Join(c.options.Folder, "kubeconfig")
	return os.WriteFile(c.Kubeconfig, raw, 0o600)
}

// KubeconfigOf writes a file by which a user is known, who has no rights but those that somebody grants him.
func (c *ControlPlane) KubeconfigOf(user, file string) error {
	of, err := c.env.AddUser(envtest.User{Name: user}, nil)
	if err != nil {
		return err
	}
	raw, err := of.KubeConfig()
	if err != nil {
		return err
	}
	return os.WriteFile(file, raw, 0o600)
}

func (c *ControlPlane) createNamespaces(ctx context.Context) error {
	for _, name := range append(c.options.GatewayNamespaces, GatewayNamespace, Namespace) {
		if err := c.Client.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
			return fmt.Errorf("create namespace %s: %w", name, err)
		}
	}
	return nil
}

// istioCRDs returns the file of Istio's CRDs in the module that this program is built with.
func istioCRDs(ctx context.Context) (string, error) {
	folder, err := moduleFolder(ctx, "istio.io/api")
	return filepath.Join(folder, "kubernetes", "customresourcedefinitions.gen.yaml"), err
}

// moduleFolder returns the folder of a Go module of the build; the main module's for our own path.
func moduleFolder(ctx context.Context, path string) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", path).Output()
	if err != nil {
		return "", fmt.Errorf("go list -m %s: %w", path, err)
	}
	return strings.TrimSpace(string(out)), nil
}
