package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/egress-governor/egress-governor/internal/checkup"
	"github.com/egress-governor/egress-governor/internal/config"
	"github.com/egress-governor/egress-governor/internal/egress"
)

// asking sees whether the API server asks the webhook, as its clients see it.
type asking struct {
	client    dynamic.Interface
	mesh      *egress.Mesh
	namespace string
	timeout   time.Duration
	pause     time.Duration
	out       io.Writer
}

// testCommand is what helm test runs, in a pod of the image that the webhook has.
func testCommand() *cobra.Command {
	a := asking{pause: 2 * time.Second}
	var file string
	out := &cobra.Command{
		Use: "test", Short: "See whether the API server has objects judged: two that must be answered, and two that must be refused", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			configuration, err := config.Load(file)
			if err != nil {
				return fmt.Errorf("configuration: %w", err)
			}
			if a.mesh, err = configuration.Mesh(); err != nil {
				return fmt.Errorf("configuration: %s: %w", file, err)
			}
			of, err := ctrl.GetConfig()
			if err != nil {
				return fmt.Errorf("cluster: %w", err)
			}
			if a.client, err = dynamic.NewForConfig(of); err != nil {
				return fmt.Errorf("cluster: %w", err)
			}
			a.out = cmd.OutOrStdout()
			return a.run(cmd.Context())
		},
	}
	out.Flags().StringVar(&file, "config", "/etc/egress-governor/config.yaml", "configuration file of the webhook")
	out.Flags().StringVar(&a.namespace, "entries-namespace", metav1.NamespaceDefault, "governed namespace in which it asks about entries")
	out.Flags().DurationVar(&a.timeout, "timeout", time.Minute, "how long it asks again where an answer is wrong")
	return out
}

// run asks until all is as it must be, or the time is over; nothing is stored.
func (a *asking) run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	probes, err := a.probes(ctx)
	if err != nil {
		return err
	}
	for {
		wrong := a.wrong(ctx, probes)
		if wrong == nil {
			fmt.Fprintf(a.out, "The API server has all %d objects judged.\n", len(probes))
			return nil
		}
		select {
		case <-ctx.Done():
			return wrong
		case <-time.After(a.pause):
		}
	}
}

// probes are about entries too, where the namespace is governed.
func (a *asking) probes(ctx context.Context) ([]checkup.Probe, error) {
	of, err := a.client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}).Get(ctx, a.namespace, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("namespace %s: %w", a.namespace, err)
	}
	if a.mesh.Governed.Matches(labels.Set(of.GetLabels())) {
		return checkup.Probes(a.namespace), nil
	}
	fmt.Fprintf(a.out, "Namespace %s is not governed, so what becomes of entries is not asked.\n", a.namespace)
	return checkup.Probes(""), nil
}

// wrong returns what is wrong with the answers, each with why and how to mend it; what tells nothing is wrong too.
func (a *asking) wrong(ctx context.Context, probes []checkup.Probe) error {
	var errs []error
	for _, answer := range checkup.Ask(probes, func(probe checkup.Probe) (*unstructured.Unstructured, error) {
		return a.client.Resource(probe.Resource).Namespace(probe.Object.GetNamespace()).Create(ctx, probe.Object, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	}) {
		finding, unknown := answer.Judge(a.mesh)
		if unknown != "" {
			errs = append(errs, errors.New(unknown))
		}
		if finding != nil {
			errs = append(errs, fmt.Errorf("%s (%s): %s; %s. Fix: %s", finding.Object, finding.Code, finding.Message, finding.Why, finding.Fix))
		}
	}
	return errors.Join(errs...)
}
