package controlplane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/egress-governor/egress-governor/test/walltime"
)

// Install installs the chart, whose webhook configurations name a port of loopback, for replicas that are started beside.
func (c *ControlPlane) Install(ctx context.Context, port int) error {
	config, err := c.install(ctx, port)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(c.options.Folder, "config.yaml"), []byte(config), 0o600)
}

// Asked waits until the API server asks the webhook.
func (c *ControlPlane) Asked(ctx context.Context) error { return c.asked(ctx) }

// Replica is one of several webhooks.
type Replica struct {
	// Name is that of its log, too.
	Name string
	// Address is where it answers the API server, Ready and Metrics where it tells of itself.
	Address, Ready, Metrics string
	process                 *process
}

// ReplicaOptions say how a replica runs.
type ReplicaOptions struct {
	Name string
	// Server is the API server as the replica reaches it, by TLS of the authority CA.
	Server string
	CA     []byte
	// Args are further ones, Under is a command before the webhook's own.
	Args, Under []string
}

// StartReplica starts a webhook under the configuration that was installed last. It does not wait until it is ready.
func (c *ControlPlane) StartReplica(ctx context.Context, o ReplicaOptions) (*Replica, error) {
	at, err := c.newReplica()
	if err != nil {
		return nil, err
	}
	kubeconfig, err := c.serviceAccount(ctx, &clientcmdapi.Cluster{Server: o.Server, CertificateAuthorityData: o.CA}, o.Name)
	if err != nil {
		return nil, err
	}
	return c.startReplica(at, o, kubeconfig)
}

// Again starts a replica as it was started before, which needs no API server.
func (c *ControlPlane) Again(of *Replica, o ReplicaOptions) (*Replica, error) {
	at, err := c.newReplica()
	if err != nil {
		return nil, err
	}
	return c.startReplica(at, o, filepath.Join(c.options.Folder, of.Name+".kubeconfig"))
}

func (c *ControlPlane) startReplica(at *replica, o ReplicaOptions, kubeconfig string) (*Replica, error) {
	line := append(append([]string{}, o.Under...), c.options.Webhook, "--config="+filepath.Join(c.options.Folder, "config.yaml"), "--namespace="+Namespace,
		"--host=127.0.0.1", fmt.Sprintf("--port=%d", at.port), "--probe-address="+at.probe, "--metrics-address="+at.metrics,
		"--extra-dns-names=localhost", "--webhook-configuration="+Release)
	line = append(line, o.Args...)
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig)
	process, err := run(cmd, filepath.Join(c.options.Folder, o.Name+".log"))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.Name, err)
	}
	return &Replica{
		Name: o.Name, Address: fmt.Sprintf("127.0.0.1:%d", at.port), Ready: "http://" + at.probe + "/readyz", Metrics: "http://" + at.metrics + "/metrics",
		process: process,
	}, nil
}

// Stop ends it as Kubernetes does, and waits for its end.
func (r *Replica) Stop() error { return r.process.stop(r.Name) }

// Ended returns why it runs no more, nil while it does.
func (r *Replica) Ended() error { return r.process.ended() }

// end kills a process and waits for its end.
func (p *process) end() error {
	_ = p.cmd.Process.Kill()
	p.done <- <-p.done
	return p.log.Close()
}

// Signal sends a signal to kube-apiserver or etcd.
func (c *ControlPlane) Signal(name string, signal syscall.Signal) error {
	if restarted := c.restarted[name]; restarted != nil {
		return restarted.cmd.Process.Signal(signal)
	}
	of, err := c.child(name)
	if err != nil {
		return err
	}
	return syscall.Kill(of.pid, signal)
}

// Restart ends kube-apiserver or etcd as Kubernetes does, within a grace, and has it away for a while. It returns when the API server
// answers.
func (c *ControlPlane) Restart(ctx context.Context, name string, grace, away time.Duration) error {
	of, err := c.child(name)
	if err != nil {
		return err
	}
	killed := time.AfterFunc(grace, func() { _ = syscall.Kill(of.pid, syscall.SIGKILL) })
	defer killed.Stop()
	if err := syscall.Kill(of.pid, syscall.SIGTERM); err != nil {
		return err
	}
	if err := c.gone(ctx, name, of.pid); err != nil {
		return err
	}
	time.Sleep(away)
	if c.restarted == nil {
		c.restarted = map[string]*process{}
	}
	if c.restarted[name], err = run(exec.Command(of.line[0], of.line[1:]...), filepath.Join(c.options.Folder, name+".log")); err != nil {
		return err
	}
	return poll(ctx, c.answers)
}

// gone waits for the end of a process that was told to.
func (c *ControlPlane) gone(ctx context.Context, name string, pid int) error {
	if restarted := c.restarted[name]; restarted != nil {
		restarted.done <- <-restarted.done
		return restarted.log.Close()
	}
	return poll(ctx, func(context.Context) error {
		if syscall.Kill(pid, 0) == nil {
			return errors.New(name + " does not end")
		}
		return nil
	})
}

// Signal sends a replica a signal.
func (r *Replica) Signal(signal os.Signal) error { return r.process.cmd.Process.Signal(signal) }

// SetClock has a replica's wall clock differ from the machine's by so much, until it ends.
func (r *Replica) SetClock(by time.Duration) error {
	return walltime.Shift(r.process.cmd.Process.Pid, by)
}
