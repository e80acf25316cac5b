// Command demo shows the main job on an embedded control plane, with real manifests and the real answers. It ends with
// 0 only if every step ended as it should.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/egress-governor/egress-governor/test/controlplane"
)

func main() {
	ctrl.SetLogger(logr.Discard())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var options controlplane.Options
	command := &cobra.Command{
		Use: "demo", SilenceUsage: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return show(cmd.Context(), options) },
	}
	command.Flags().StringVar(&options.Folder, "folder", ".run/demo", "folder of logs")
	command.Flags().StringVar(&options.Assets, "assets", "", "folder of kube-apiserver and etcd")
	command.Flags().StringVar(&options.Webhook, "webhook", "", "the webhook binary")
	if err := command.ExecuteContext(ctx); err != nil {
		os.Exit(1) //nolint:gocritic // nothing is left for stop to do
	}
}

func show(ctx context.Context, options controlplane.Options) (err error) {
	out := newTranscript()
	out.say("Starting etcd, kube-apiserver with Istio's CRDs, and the webhook under its own rights …")
	cp, err := controlplane.Start(ctx, options)
	if err != nil {
		return err
	}
	defer func() {
		out.say("Stopping.")
		if stopped := cp.Stop(); err == nil {
			err = stopped
		}
	}()
	stage, err := newStage(ctx, cp, out)
	if err != nil {
		return err
	}
	for i, step := range steps() {
		out.heading(i+1, step.title)
		if err := step.play(ctx, stage); err != nil {
			return fmt.Errorf("step %d, %s: %w", i+1, step.title, err)
		}
	}
	out.heading(0, "Every step ended as it should.")
	return nil
}
