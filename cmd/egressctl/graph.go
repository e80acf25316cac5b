package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/manifest"
	"github.com/egress-governor/egress-governor/internal/overview"
	"github.com/egress-governor/egress-governor/internal/report"
)

func graphCommand() *cobra.Command {
	var i inputs
	var of []string
	var output string
	out := &cobra.Command{
		Use: "graph", Short: "Draw which namespaces leave by which egress gateways to which hosts", Args: noArguments,
		Long: `Draws namespaces, the egress gateways that they leave by, and the hosts that these lead to, of a cluster or of files.`,
		Example: `  egressctl graph -f entry.yaml

  # A picture of what is stored, of two namespaces
  egressctl graph --cluster stored.yaml --of payments,shop -o svg`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !slices.Contains(report.GraphFormats, output) {
				return oneOf("output", output, report.GraphFormats)
			}
			all, err := i.overview(cmd)
			if err != nil {
				return err
			}
			var keep func(overview.Exit) bool
			if len(of) > 0 {
				keep = func(exit overview.Exit) bool {
					return slices.Contains(of, exit.Namespace) || slices.ContainsFunc(of, func(name string) bool { return slices.Contains(exit.Clients, name) })
				}
			}
			return report.WriteGraph(cmd.OutOrStdout(), all.Graph(keep), output)
		},
	}
	i.bindApplied(out)
	out.Flags().StringSliceVar(&of, "of", nil, "draw what these namespaces have, or are exported by name, alone")
	out.Flags().StringVarP(&output, "output", "o", "mermaid", "dot, json, mermaid or svg")
	completes(out, "output", report.GraphFormats...)
	return out
}

// overview says who leaves where, with what policies find wrong by now.
func (i *inputs) overview(cmd *cobra.Command) (*overview.Overview, error) {
	of, err := i.world(cmd)
	if err != nil {
		return nil, err
	}
	judged, err := of.judged(cmd.Context())
	if err != nil {
		return nil, err
	}
	return overview.New(of.mesh, of.objects, judged)
}

// judged asks of every stored object what is wrong with it.
func (w *world) judged(ctx context.Context) (out overview.Judged, err error) {
	out.Asked = map[string][]string{}
	baseline, err := w.session.Baseline()
	if err != nil {
		return out, err
	}
	for _, of := range append(w.session.Policies(), baseline...) {
		out.Policies = append(out.Policies, overview.Policy{Name: of.Name, Enforcement: string(of.Spec.Enforcement), Library: of.Spec.Policy})
	}
	for _, object := range w.objects {
		if err := w.judge(ctx, object, &out); err != nil {
			return out, fmt.Errorf("%s: %w", manifest.Name(object), err)
		}
	}
	return out, nil
}

func (w *world) judge(ctx context.Context, object *unstructured.Unstructured, out *overview.Judged) error {
	findings, asked, err := w.session.Judge(ctx, object)
	if err != nil {
		return err
	}
	if object.GetKind() == "ServiceEntry" {
		out.Asked[object.GetNamespace()+"/"+object.GetName()] = asked
	}
	for _, finding := range findings {
		out.Findings = append(out.Findings, overview.Finding{
			Kind: object.GetKind(), Namespace: object.GetNamespace(), Name: object.GetName(), Effect: string(finding.Effect),
			Policy: finding.Policy, Code: finding.Code, Field: finding.Field, Message: finding.Message, Fix: finding.Fix,
		})
	}
	return nil
}
