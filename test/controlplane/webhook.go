package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
)

// readyWithin bounds the wait for the webhook: it makes its certificates first.
const readyWithin = 60 * time.Second

// process is a child and its log.
type process struct {
	cmd  *exec.Cmd
	log  *os.File
	done chan error
}

// StartWebhook installs the chart and runs the webhook binary with the rights of the chart's service account. It
// returns when the webhook is ready.
func (c *ControlPlane) StartWebhook(ctx context.Context) error {
	replica, err := c.newReplica()
	if err != nil {
		return err
	}
	if err := c.Install(ctx, replica.port); err != nil {
		return err
	}
	if err := c.serve(ctx, replica); err != nil {
		return err
	}
	return c.asked(ctx)
}

// RollWebhook replaces the running webhook as a Deployment does: another replica is ready before this one ends, and the API server
// is told of it in between.
func (c *ControlPlane) RollWebhook(ctx context.Context) error {
	before := c.webhook
	replica, err := c.newReplica()
	if err != nil {
		return err
	}
	err = c.serve(ctx, replica)
	if err == nil {
		_, err = c.install(ctx, replica.port)
	}
	return errors.Join(err, before.stop("webhook"))
}

// replica is where a replica of the webhook listens.
type replica struct {
	port           int
	probe, metrics string
}

func (c *ControlPlane) newReplica() (*replica, error) {
	ports, err := FreePorts(3)
	if err != nil {
		return nil, err
	}
	return &replica{ports[0], fmt.Sprintf("127.0.0.1:%d", ports[1]), fmt.Sprintf("127.0.0.1:%d", ports[2])}, nil
}

// serve runs a replica under the configuration that was written last, until it is ready.
func (c *ControlPlane) serve(ctx context.Context, of *replica) error {
	kubeconfig, err := c.serviceAccount(ctx, c.direct(), "webhook")
	if err != nil {
		return err
	}
	c.Metrics = "http://" + of.metrics + "/metrics"
	cmd := exec.Command(c.options.Webhook, append(slices.Clone(c.options.WebhookFlags), "--config="+filepath.Join(c.options.Folder, "config.yaml"), "--namespace="+Namespace, "--host=127.0.0.1",
		fmt.Sprintf("--port=%d", of.port), "--probe-address="+of.probe, "--metrics-address="+of.metrics, "--extra-dns-names=localhost",
		"--webhook-configuration="+Release, "--shutdown-delay=0s")...)
	cmd.Env = append(append(os.Environ(), c.variables...), "KUBECONFIG="+kubeconfig)
	began := time.Now()
	if c.webhook, err = run(cmd, filepath.Join(c.options.Folder, "webhook.log")); err != nil {
		return fmt.Errorf("webhook: %w", err)
	}
	err = c.webhook.ready(ctx, "http://"+of.probe+"/readyz")
	c.ReadyAfter = time.Since(began)
	return err
}

// StopWebhook stops the webhook as Kubernetes does; nothing if it does not run.
func (c *ControlPlane) StopWebhook() error {
	if c.webhook == nil {
		return nil
	}
	p := c.webhook
	c.webhook = nil
	return p.stop("webhook")
}

// Hang has the webhook take requests and answer none, until the function is called that it returns.
func (c *ControlPlane) Hang() (resume func() error, err error) {
	of := c.webhook.cmd.Process
	return func() error { return of.Signal(syscall.SIGCONT) }, of.Signal(syscall.SIGSTOP)
}

func (p *process) ready(ctx context.Context, url string) error {
	err := wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, readyWithin, true, func(ctx context.Context) (bool, error) {
		if err := p.ended(); err != nil {
			return false, err
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return false, err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return false, nil
		}
		return response.StatusCode == http.StatusOK, response.Body.Close()
	})
	if err != nil {
		return fmt.Errorf("webhook is not ready (%s): %w", p.log.Name(), err)
	}
	return nil
}

// asked waits until the API server asks the webhook: it learns of the configurations and their caBundle by watches of
// its own, a moment after the webhook is ready.
func (c *ControlPlane) asked(ctx context.Context) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, readyWithin, true, func(ctx context.Context) (bool, error) {
		entry := &networkingv1.ServiceEntry{
			ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, GenerateName: "asked-"},
			Spec: networking.ServiceEntry{
				// It is exported to no other namespace, of which a policy that cannot be evaluated would have it refused.
				Hosts: []string{"asked.invalid"}, ExportTo: []string{"."}, Resolution: networking.ServiceEntry_DNS,
				Ports: []*networking.ServicePort{{Number: 443, Name: "tls", Protocol: "TLS"}},
			},
		}
		if c.leaves() {
			// It is not rewritten, and one that cannot be carried is refused before anything else looks at it.
			entry.Spec.Hosts = []string{"*.asked.invalid"}
			if last = c.Client.Create(ctx, entry, client.DryRunAll); last == nil || !strings.Contains(last.Error(), "mutate.egress-governor.io") {
				return false, nil
			}
		} else if last = c.Client.Create(ctx, entry, client.DryRunAll); last != nil || len(entry.Spec.Endpoints) == 0 {
			return false, nil
		}
		unknown := &v1alpha1.EgressPolicy{ObjectMeta: metav1.ObjectMeta{GenerateName: "asked-"}, Spec: v1alpha1.EgressPolicySpec{Policy: "asked"}}
		last = c.Client.Create(ctx, unknown, client.DryRunAll)
		return last != nil && strings.Contains(last.Error(), "no policy"), nil
	})
	if err != nil {
		return fmt.Errorf("the API server does not ask the webhook: %w", errors.Join(err, last))
	}
	return nil
}

// leaves says whether ServiceEntries are stored as they are written.
func (c *ControlPlane) leaves() bool {
	config, _ := c.options.Values["config"].(map[string]any)
	return config["serviceEntries"] == "Leave"
}

// serviceAccount writes a kubeconfig of a name, with a token of the chart's service account and the API server as it is reached.
func (c *ControlPlane) serviceAccount(ctx context.Context, server *clientcmdapi.Cluster, name string) (string, error) {
	file := filepath.Join(c.options.Folder, name+".kubeconfig")
	return file, c.kubeconfigOf(ctx, server, Release, file)
}

// KubeconfigOfAccount writes a kubeconfig with a token of a service account of the release's namespace.
func (c *ControlPlane) KubeconfigOfAccount(ctx context.Context, name, file string) error {
	return c.kubeconfigOf(ctx, c.direct(), name, file)
}

// direct is the API server itself.
func (c *ControlPlane) direct() *clientcmdapi.Cluster {
	return &clientcmdapi.Cluster{Server: c.Config.Host, CertificateAuthorityData: c.Config.CAData}
}

func (c *ControlPlane) kubeconfigOf(ctx context.Context, server *clientcmdapi.Cluster, name, file string) error {
	clientset, err := kubernetes.NewForConfig(c.Config)
	if err != nil {
		return err
	}
	seconds := int64((24 * time.Hour).Seconds())
	token, err := clientset.CoreV1().ServiceAccounts(Namespace).CreateToken(ctx, name,
		&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("token of the service account: %w", err)
	}
	config := clientcmdapi.NewConfig()
	config.Clusters["embedded"] = server
	config.AuthInfos["webhook"] = &clientcmdapi.AuthInfo{Token: token.Status.Token}
	config.Contexts["webhook"] = &clientcmdapi.Context{Cluster: "embedded", AuthInfo: "webhook"}
	config.CurrentContext = "webhook"
	return clientcmd.WriteToFile(*config, file)
}

// FreePorts returns ports of loopback that nobody listens on, each another.
func FreePorts(n int) ([]int, error) {
	var out []int
	for range n {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer func() { _ = listener.Close() }()
		out = append(out, listener.Addr().(*net.TCPAddr).Port)
	}
	return out, nil
}
