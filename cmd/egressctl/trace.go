package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/egress-governor/egress-governor/internal/report"
	"github.com/egress-governor/egress-governor/internal/trace"
)

func traceCommand() *cobra.Command {
	var i inputs
	var labels map[string]string
	var output string
	out := &cobra.Command{
		Use: "trace NAMESPACE[/SERVICEACCOUNT] URL", Short: "Say what becomes of a call, and why", Args: cobra.ExactArgs(2),
		Long: `Says which entry and which route take the call that a workload of a namespace makes, by which egress gateway it leaves, whether the
gateway admits the caller and has an exit, and what would have to change where it does not. Where routes share calls out, or go by what a
URL does not say, it names every way.

The URL is of scheme http, grpc, https, tls or tcp: http://host[:port][/path], grpc://host:port, https://host[:port], tls://host[:port]
(by SNI) or tcp://host:port.

It exits with 0 where all calls that are waited for leave by an egress gateway, with 1 where some do not, and with 2 where that could not
be told.`,
		Example: `  egressctl trace payments https://api.stripe.com -f entry.yaml

  # By a service account, with what is stored already
  egressctl trace payments/till https://api.stripe.com --cluster stored.yaml -o json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !slices.Contains(report.TraceFormats, output) {
				return oneOf("output", output, report.TraceFormats)
			}
			call, err := trace.ParseCall(args[0], args[1])
			if err != nil {
				return err
			}
			call.Labels = labels
			cluster, err := i.world(cmd, call.Namespace)
			if err != nil {
				return err
			}
			outcome := cluster.Of(call)
			if cluster.meshConfig != "" && !outcome.Leaves() {
				outcome.Notes = append(outcome.Notes, fmt.Sprintf("ConfigMap %s is not known; its outboundTrafficPolicy is taken for Istio's default, ALLOW_ANY.", cluster.meshConfig))
			}
			if err := report.WriteTrace(cmd.OutOrStdout(), outcome, output); err != nil {
				return err
			}
			if !outcome.Leaves() {
				return errViolations
			}
			return nil
		},
	}
	i.bindApplied(out)
	out.Flags().StringToStringVarP(&labels, "labels", "l", nil, "labels of the caller's pod, such as app=web, for routes and Sidecars that select by them")
	out.Flags().StringVarP(&output, "output", "o", "table", "table, json or yaml")
	completes(out, "output", report.TraceFormats...)
	return out
}
