package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/egress-governor/egress-governor/internal/report"
	"github.com/egress-governor/egress-governor/internal/simulate"
)

func simulateCommand() *cobra.Command {
	var i inputs
	var output string
	var options simulate.Options
	out := &cobra.Command{
		Use: "simulate -p POLICIES", Short: "Say what would change for what is stored if EgressPolicies were in force", Args: noArguments,
		Long: `Judges what a cluster holds twice, as its audit does: by the EgressPolicies in force now, and with those of --policies in the place of
the ones of their names. It says of each host what would change, and which entries would lose their exits by existing: Suspend.
Nothing is written.

It exits with 0 where nothing is newly denied, with 1 where something is, and with 2 where that could not be told.`,
		Example: `  egressctl simulate -p policies/ --cluster cluster.yaml --cluster manifests/

  # What would change if these were all EgressPolicies that there are, beside the baseline
  egressctl simulate -p policies/ --prune --cluster stored.yaml -o json

  # What a cluster holds: egressctl simulate -p policies/ --kubeconfig ~/.kube/config`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !slices.Contains(report.SimulationFormats, output) {
				return oneOf("output", output, report.SimulationFormats)
			}
			return i.simulate(cmd, options, output)
		},
	}
	out.Flags().StringSliceVarP(&i.policies, "policies", "p", nil, "files and folders of the EgressPolicies that would be in force")
	out.Flags().BoolVar(&options.Only, "prune", false, "have no other EgressPolicies in force than these and the baseline")
	i.bindCluster(out)
	_ = out.MarkFlagRequired("policies") // the flag is there
	out.MarkFlagsOneRequired("cluster", "kubeconfig", "context")
	out.Flags().StringVarP(&output, "output", "o", "table", "form of the answer: table, json or yaml")
	completes(out, "output", report.SimulationFormats...)
	return out
}

// simulate prints what would change.
func (i *inputs) simulate(cmd *cobra.Command, options simulate.Options, output string) (err error) {
	stored, err := i.read(cmd.Context(), cmd.InOrStdin(), judged...)
	if err != nil {
		return err
	}
	if len(stored) == 0 {
		return errors.New("there are no stored objects that could be judged")
	}
	if options.Policies, err = i.inForce(cmd.InOrStdin()); err != nil {
		return err
	}
	if len(options.Policies) == 0 {
		return fmt.Errorf("there are no EgressPolicies in %s", strings.Join(i.policies, ", "))
	}
	session, err := i.cluster(stored)
	if err != nil {
		return err
	}
	if err := session.Store(stored...); err != nil {
		return err
	}
	configuration, err := i.configuration(stored)
	if err != nil {
		return err
	}
	options.MaxShare = configuration.Suspend.MaxShare
	bar := newProgress(cmd.ErrOrStderr(), 2*len(stored))
	defer bar.end()
	found, err := simulate.Run(cmd.Context(), session, stored, options, bar.step)
	bar.end()
	if err != nil {
		return err
	}
	i.note(cmd, session)
	for _, warning := range found.Policies.Warnings {
		fmt.Fprintln(cmd.ErrOrStderr(), "Warning: "+warning)
	}
	if err := report.NewSimulation(found).Write(cmd.OutOrStdout(), output); err != nil {
		return err
	}
	if found.Worse() {
		return errViolations
	}
	return nil
}
