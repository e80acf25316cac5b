package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/egress-governor/egress-governor/internal/dryrun"
	"github.com/egress-governor/egress-governor/internal/manifest"
	"github.com/egress-governor/egress-governor/internal/policy"
	"github.com/egress-governor/egress-governor/internal/report"
)

func explainCommand() *cobra.Command {
	var i inputs
	var name, output string
	var watch policy.Watch
	out := &cobra.Command{
		Use: "explain -f FILES", Short: "Say how the webhook comes to what it answers", Args: noArguments,
		Long: `Says of each manifest what the webhook answers, the facts that policies see, which of the EgressPolicies in force are asked about it
and why, what each says by which rule, and what its print statements print.

It exits with 0 whatever is answered.`,
		Example: `  egressctl explain -f evil.yaml --cluster cluster.yaml

  # One EgressPolicy, with OPA's trace of it
  egressctl explain -f evil.yaml --cluster cluster.yaml --policy payments-hosts --trace`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !slices.Contains(report.ExplanationFormats, output) {
				return oneOf("output", output, report.ExplanationFormats)
			}
			session, answers, err := i.apply(cmd)
			if err != nil {
				return err
			}
			policies, err := i.chosen(session, answers, name)
			if err != nil {
				return err
			}
			var all []report.Explanation
			for _, answer := range answers {
				facts, err := session.Input(answer, "")
				if err != nil {
					return fmt.Errorf("%s: %w", manifest.Place(answer.File, answer.Line), err)
				}
				observed, err := session.Observe(cmd.Context(), answer, policies, watch)
				if err != nil {
					return err
				}
				all = append(all, report.Explain(answer, facts, observed))
			}
			return report.WriteExplanations(cmd.OutOrStdout(), all, output)
		},
	}
	i.bind(out)
	i.bindGuards(out)
	out.Flags().StringVar(&name, "policy", "", "explain what this EgressPolicy alone does")
	out.Flags().BoolVar(&watch.Trace, "trace", false, "print OPA's trace of each policy")
	out.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	completes(out, "output", report.ExplanationFormats...)
	return out
}

// chosen returns the EgressPolicies in force of a name, or all, those of the baseline last.
func (i *inputs) chosen(session *dryrun.Session, answers []dryrun.Answer, name string) ([]dryrun.InForce, error) {
	sources := i.sources
	for _, answer := range answers {
		sources = append(sources, answer.Object)
	}
	baseline, err := session.Baseline()
	if err != nil {
		return nil, err
	}
	all := append(session.Policies(sources...), baseline...)
	if name == "" {
		return all, nil
	}
	at := slices.IndexFunc(all, func(of dryrun.InForce) bool { return of.Name == name })
	if at < 0 {
		return nil, fmt.Errorf("no EgressPolicy %q is in force", name)
	}
	return all[at : at+1], nil
}
