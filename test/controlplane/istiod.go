package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

// Istiod is a running one.
type Istiod struct {
	// Address is that of its ADS, without TLS.
	Address string
	process *process
}

// StartIstiod runs a pilot-discovery binary against the cluster, without what only pods ask for: injection, validation and
// certificates. settings are environment variables. It returns when it answers proxies.
func (c *ControlPlane) StartIstiod(ctx context.Context, binary string, settings ...string) (*Istiod, error) {
	if _, err := os.Stat(binary); err != nil {
		return nil, fmt.Errorf("istiod is missing (run make istiod): %w", err)
	}
	ports, err := FreePorts(2)
	if err != nil {
		return nil, err
	}
	out := &Istiod{Address: fmt.Sprintf("127.0.0.1:%d", ports[0])}
	cmd := exec.Command(binary, "discovery", "--kubeconfig="+c.Kubeconfig, "--namespace="+GatewayNamespace, "--grpcAddr="+out.Address,
		fmt.Sprintf("--httpAddr=127.0.0.1:%d", ports[1]), "--httpsAddr=", "--secureGRPCAddr=", "--monitoringAddr=", "--ctrlz_port=0", "--shutdownDuration=0s")
	cmd.Dir = c.options.Folder
	cmd.Env = append(os.Environ(), "POD_NAME=istiod", "POD_NAMESPACE="+GatewayNamespace, "INJECT_ENABLED=false", "ENABLE_CA_SERVER=false",
		"PILOT_CERT_PROVIDER=none", "VALIDATION_WEBHOOK_CONFIG_NAME=", "INJECTION_WEBHOOK_CONFIG_NAME=")
	cmd.Env = append(cmd.Env, settings...)
	if out.process, err = run(cmd, filepath.Join(c.options.Folder, "istiod.log")); err != nil {
		return nil, fmt.Errorf("istiod: %w", err)
	}
	// It listens once it knows what is stored.
	err = wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, readyWithin, true, func(ctx context.Context) (bool, error) {
		if err := out.process.ended(); err != nil {
			return false, err
		}
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", out.Address)
		if err != nil {
			return false, nil
		}
		return true, conn.Close()
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("istiod does not answer (%s): %w", out.process.log.Name(), err), out.Stop())
	}
	return out, nil
}

// Stop stops it.
func (i *Istiod) Stop() error { return i.process.stop("istiod") }

// run starts a program whose output goes to the end of a log. Ctrl-C in a terminal reaches the whole group; what runs here is
// to end before the API server, by Stop.
func run(cmd *exec.Cmd, file string) (*process, error) {
	log, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	out := &process{cmd: cmd, log: log, done: make(chan error, 1)}
	go func() { out.done <- cmd.Wait() }()
	return out, nil
}

// ended returns why the process is no more, nil while it runs.
func (p *process) ended() error {
	select {
	case err := <-p.done:
		p.done <- err
		return fmt.Errorf("it ended: %v", err) //nolint:errorlint // nil is an end too
	default:
		return nil
	}
}

// stop ends a process as Kubernetes does.
func (p *process) stop(name string) error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-p.done:
		return errors.Join(err, p.log.Close())
	case <-time.After(40 * time.Second):
		_ = p.cmd.Process.Kill()
		return errors.Join(errors.New(name+" did not stop on SIGTERM"), p.log.Close())
	}
}
