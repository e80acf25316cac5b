package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/egress-governor/egress-governor/internal/adopt"
	"github.com/egress-governor/egress-governor/internal/config"
	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/manifest"
	"github.com/egress-governor/egress-governor/internal/report"
)

// unsealing are the flags of unseal.
type unsealing struct {
	inputs
	pace
	names  []string
	output string
	apply  bool
}

func unsealCommand() *cobra.Command {
	var u unsealing
	out := &cobra.Command{
		Use: "unseal [NAMESPACE | NAMESPACE/NAME]...", Short: "Store what was sealed as its authors wrote it",
		Long: `Says what would be stored again as its author wrote it: of namespaces, of ServiceEntries with the rules and routes of their hosts, or
without an argument of all. Without --apply nothing is written.

The webhook would seal it again, so the namespace, or the release, must be in mode Observe, or the release uninstalled; the configuration
is then named by --config. Exits are kept until the entries are plain and proxies know of it.`,
		Example: `  egressctl unseal --cluster stored.yaml
  egressctl unseal payments --cluster stored.yaml -o yaml

  # kubectl label namespace payments egress-governor.io/mode=Observe --overwrite
  # To do it: egressctl unseal payments --kubeconfig ~/.kube/config --apply`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !slices.Contains(report.PlanFormats, u.output) {
				return oneOf("output", u.output, report.PlanFormats)
			}
			if err := u.check(); err != nil {
				return err
			}
			if u.apply && !u.isLive() {
				return errors.New("--apply writes into a cluster: name one by --kubeconfig or --context")
			}
			u.names = args
			return u.run(cmd)
		},
	}
	u.bindStored(out)
	u.pace.bind(out)
	out.Flags().BoolVar(&u.apply, "apply", false, "do it")
	out.MarkFlagsOneRequired("cluster", "kubeconfig", "context")
	out.Flags().StringVarP(&u.output, "output", "o", "table", "form of the plan: table, json or yaml")
	completes(out, "output", report.PlanFormats...)
	return out
}

func (u *unsealing) run(cmd *cobra.Command) error {
	stored, err := u.read(cmd.Context(), cmd.InOrStdin())
	if err != nil {
		return err
	}
	session, mesh, err := u.rehearsal(stored, nil)
	if err != nil {
		return err
	}
	asked := true
	var h *hand
	if u.isLive() {
		config, err := u.rest()
		if err != nil {
			return err
		}
		if h, err = newHand(config, u.pace, mesh); err != nil {
			return err
		}
		if asked, err = h.installed(cmd.Context()); err != nil {
			return err
		}
	}
	governed := func(namespace string) bool { return asked && governs(mesh, stored, namespace) }
	plan, err := adopt.Unseal(session, stored, u.names, governed)
	if err != nil {
		return err
	}
	crossings, err := adopt.Crossings(mesh, stored, plan)
	if err != nil {
		return err
	}
	if err := report.NewUnsealing(plan, crossings).Write(cmd.OutOrStdout(), u.output); err != nil {
		return err
	}
	if len(plan) == 0 {
		if !u.apply {
			return nil
		}
		return h.uncross(cmd.Context(), namespacesOf(u.names)...)
	}
	standing := against(plan, governed)
	switch {
	case !u.apply && standing != nil:
		fmt.Fprintf(cmd.ErrOrStderr(), "Note: %s\n", strings.ReplaceAll(standing.Error(), "\n", "\nNote: "))
		return nil
	case standing != nil:
		return standing
	case !u.apply:
		fmt.Fprintln(cmd.ErrOrStderr(), "Nothing was written; --apply does it.")
		return nil
	}
	if err := h.unseal(cmd, plan, crossings, asked); err != nil {
		return err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "Written: %d, as their authors wrote them.\n", len(plan))
	return nil
}

// namespacesOf are those of names as unseal takes them.
func namespacesOf(names []string) (out []string) {
	for _, name := range names {
		out = append(out, adopt.NamespaceOf(name))
	}
	return out
}

// governs says whether the webhook is asked about a namespace.
func governs(mesh *egress.Mesh, stored []manifest.Object, namespace string) bool {
	for _, object := range stored {
		if object.GetKind() == "Namespace" && object.GetName() == namespace {
			return mesh.Governed.Matches(adopt.LabelsOf(object.Unstructured))
		}
	}
	return false
}

// against says of which namespaces the webhook would seal again what goes back.
func against(plan []adopt.Return, governed func(namespace string) bool) error {
	var errs []error
	for _, namespace := range adopt.Namespaces(plan) {
		if governed(namespace) {
			errs = append(errs, fmt.Errorf("namespace %s is governed, and the webhook would seal again what goes back. Have it observed before: kubectl label namespace %s %s=Observe --overwrite; or the whole release, by mode: Observe",
				namespace, namespace, config.ModeLabel))
		}
	}
	return errors.Join(errs...)
}

// installed says whether the API server may ask the webhook. Whoever may not know takes it that it does.
func (h *hand) installed(ctx context.Context) (bool, error) {
	list, err := h.client.Resource(admission[0]).List(ctx, metav1.ListOptions{LabelSelector: ofRelease})
	if apierrors.IsForbidden(err) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("webhook configurations cannot be read: %w", err)
	}
	return len(list.Items) > 0, nil
}
