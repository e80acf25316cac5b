// Command cmd starts and stops the embedded control plane: make up, make down.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/test/controlplane"
)

func main() {
	ctrl.SetLogger(logr.Discard())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		os.Exit(1) //nolint:gocritic // nothing is left for stop to do
	}
}

func command() *cobra.Command {
	var options controlplane.Options
	var byOthers bool
	var values string
	out := &cobra.Command{Use: "controlplane", Short: "An embedded control plane with the webhook serving", SilenceUsage: true}
	out.PersistentFlags().StringVar(&options.Folder, "folder", ".run", "folder of kubeconfig and logs")
	out.PersistentFlags().StringVar(&options.Assets, "assets", "", "folder of kube-apiserver and etcd")
	out.PersistentFlags().StringVar(&options.Webhook, "webhook", "", "the webhook binary")
	foreground := &cobra.Command{Use: "serve", Short: "Run it in the foreground", RunE: func(cmd *cobra.Command, _ []string) error {
		if byOthers {
			options.Installer = others(filepath.Join(options.Folder, "chart.yaml"))
		}
		if values != "" {
			raw, err := os.ReadFile(values)
			if err != nil {
				return err
			}
			if err := yaml.Unmarshal(raw, &options.Values); err != nil {
				return fmt.Errorf("%s: %w", values, err)
			}
		}
		return serve(cmd.Context(), options)
	}}
	foreground.Flags().BoolVar(&byOthers, "others-install", false, "write what the chart makes to chart.yaml of the folder, and wait until somebody has applied it")
	foreground.Flags().StringVar(&values, "values", "", "file of values of the chart")
	out.AddCommand(
		&cobra.Command{Use: "up", Short: "Start it in the background", RunE: func(cmd *cobra.Command, _ []string) error { return up(cmd.Context(), options) }},
		&cobra.Command{Use: "down", Short: "Stop it", RunE: func(*cobra.Command, []string) error { return down(options) }},
		foreground,
	)
	return out
}

func pidFile(o controlplane.Options) string   { return filepath.Join(o.Folder, "pid") }
func readyFile(o controlplane.Options) string { return filepath.Join(o.Folder, "ready") }

// running returns the process that serves, nil for none.
func running(o controlplane.Options) *os.Process {
	raw, err := os.ReadFile(pidFile(o))
	if err != nil {
		return nil
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil {
		return nil
	}
	process, err := os.FindProcess(pid)
	if err != nil || process.Signal(syscall.Signal(0)) != nil {
		return nil
	}
	return process
}

func serve(ctx context.Context, o controlplane.Options) error {
	if err := os.MkdirAll(o.Folder, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(pidFile(o), []byte(strconv.Itoa(os.Getpid())), 0o600); err != nil {
		return err
	}
	defer func() { _ = errors.Join(os.Remove(pidFile(o)), os.Remove(readyFile(o))) }()
	cp, err := controlplane.Start(ctx, o)
	if err != nil {
		return err
	}
	if err := os.WriteFile(readyFile(o), []byte(cp.Metrics), 0o600); err != nil {
		return errors.Join(err, cp.Stop())
	}
	<-ctx.Done()
	return cp.Stop()
}

func up(ctx context.Context, o controlplane.Options) error {
	if running(o) != nil {
		if said(o, "already up") {
			return nil
		}
		return errors.New("it is starting or stopping; try again in a moment")
	}
	if err := os.MkdirAll(o.Folder, 0o755); err != nil {
		return err
	}
	_ = os.Remove(readyFile(o))
	log, err := os.Create(filepath.Join(o.Folder, "controlplane.log"))
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, "serve", "--folder="+o.Folder, "--assets="+o.Assets, "--webhook="+o.Webhook)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	fmt.Println("starting kube-apiserver, etcd and the webhook …")
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), cmd.Process.Signal(syscall.SIGTERM))
		case err := <-ended:
			raw, _ := os.ReadFile(log.Name())
			return fmt.Errorf("it ended: %w\n%s", err, raw)
		case <-ticker.C:
			if said(o, "up") {
				return nil
			}
		}
	}
}

// said says how what serves is reached; false where it is not ready.
func said(o controlplane.Options, state string) bool {
	metrics, err := os.ReadFile(readyFile(o))
	if err != nil || len(metrics) == 0 {
		return false
	}
	fmt.Printf("%s: export KUBECONFIG=%s\nthe webhook's metrics: %s\n", state, filepath.Join(o.Folder, "kubeconfig"), metrics)
	return true
}

func down(o controlplane.Options) error {
	process := running(o)
	if process == nil {
		fmt.Println("not running")
		return nil
	}
	if err := process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if running(o) == nil {
			fmt.Println("down")
			return nil
		}
	}
	return fmt.Errorf("process %d does not end", process.Pid)
}
