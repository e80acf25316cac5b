package main

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/egress-governor/egress-governor/internal/adopt"
	"github.com/egress-governor/egress-governor/internal/dryrun"
	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/manifest"
	"github.com/egress-governor/egress-governor/internal/report"
)

// pace is how fast something is written, and how long it is waited for.
type pace struct {
	rate            float64
	settle, timeout time.Duration
}

func (p *pace) bind(cmd *cobra.Command) {
	cmd.Flags().Float64Var(&p.rate, "rate", 2, "how many objects are written in a second; what goes with an entry follows it at once, and the next one waits for that")
	cmd.Flags().DurationVar(&p.settle, "settle", 10*time.Second, "how long proxies are given to be told of what was stored before calls depend on it; istiod waits 10s at most")
	cmd.Flags().DurationVar(&p.timeout, "timeout", time.Minute, "how long the exit of an entry is waited for")
}

func (p *pace) check() error {
	if p.rate <= 0 || p.settle < 0 || p.timeout <= 0 {
		return errors.New("--rate and --timeout must be more than 0, and --settle not less")
	}
	return nil
}

// adoption are the flags of adopt.
type adoption struct {
	inputs
	pace
	names          []string
	output, retire string
	apply          bool
}

func adoptCommand() *cobra.Command {
	var a adoption
	out := &cobra.Command{
		Use: "adopt", Short: "Seal what is stored already, namespace by namespace", Args: noArguments,
		Long: `Says what would become of the entries, routes and rules that were stored before the webhook, or while their namespace was observed: what
is sealed, by which gateway its calls leave then, and what is left as it is, and why. Without --apply nothing is written.

With --apply it governs each namespace that is observed, has the exits of its entries made, waits until they stand and proxies know of
them, and then seals one entry after another, with the rules and routes of its hosts in the next requests, so that calls have somewhere to
go at any time. Where a rule encrypts calls, an EnvoyFilter of each namespace that makes them has proxies call the gateway meanwhile; it is
deleted at the end. An entry that cannot be sealed is left untouched, and so is one whose routes or rules cannot be stored with it. The cluster
itself knows what is done: interrupted, it goes on where it was when it is run again. A step that fails ends the work on its namespace.

It exits with 0 where all can be sealed, or was; with 1 where something is left as it is, and with 2 where something failed.`,
		Example: `  # What would be done, of all namespaces or of one
  egressctl adopt --cluster cluster.yaml
  egressctl adopt --cluster cluster.yaml -n payments -o yaml

  # To do it: egressctl adopt --kubeconfig ~/.kube/config -n payments --apply
  # And to take away the hops that were written by hand: … --apply --retire retired.yaml`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !slices.Contains(report.PlanFormats, a.output) {
				return oneOf("output", a.output, report.PlanFormats)
			}
			if err := a.check(); err != nil {
				return err
			}
			switch {
			case a.apply && !a.isLive():
				return errors.New("--apply writes into a cluster: name one by --kubeconfig or --context")
			case a.retire != "" && !a.apply:
				return errors.New("--retire deletes what it writes into the file: it needs --apply")
			}
			return a.run(cmd)
		},
	}
	a.bindStored(out)
	a.pace.bind(out)
	out.Flags().StringSliceVarP(&a.names, "namespace", "n", nil, "namespaces to adopt (default: all that are governed or observed)")
	out.Flags().BoolVar(&a.apply, "apply", false, "do it")
	out.Flags().StringVar(&a.retire, "retire", "", "with --apply, delete the hops that were written by hand and that sealed entries stand in for, and append them to this file")
	out.MarkFlagsOneRequired("cluster", "kubeconfig", "context")
	out.Flags().StringVarP(&a.output, "output", "o", "table", "form of the plan: table, json or yaml")
	completes(out, "output", report.PlanFormats...)
	return out
}

func (a *adoption) run(cmd *cobra.Command) error {
	stored, err := a.read(cmd.Context(), cmd.InOrStdin())
	if err != nil {
		return err
	}
	session, mesh, err := a.rehearsal(stored, a.names)
	if err != nil {
		return err
	}
	bar := newProgress(cmd.ErrOrStderr(), len(stored))
	defer bar.end()
	plan, err := adopt.New(cmd.Context(), session, mesh, stored, a.names, bar.step)
	bar.end()
	if err != nil {
		return err
	}
	if err := report.NewAdoption(plan).Write(cmd.OutOrStdout(), a.output); err != nil {
		return err
	}
	if a.apply {
		config, err := a.rest()
		if err != nil {
			return err
		}
		h, err := newHand(config, a.pace, mesh)
		if err != nil {
			return err
		}
		if h.followers, err = newFollowers(mesh, plan, stored); err != nil {
			return err
		}
		if err := h.adopt(cmd, plan, session, a.retire); err != nil {
			return err
		}
	} else if plan.Steps() > 0 {
		fmt.Fprintln(cmd.ErrOrStderr(), "Nothing was written; --apply does it.")
	}
	if plan.Left() {
		return errViolations
	}
	return nil
}

// rehearsal returns a session in which observed namespaces are governed, of all where none are named, and the mesh as it is.
func (i *inputs) rehearsal(stored []manifest.Object, names []string) (*dryrun.Session, *egress.Mesh, error) {
	configuration, err := i.configuration(stored)
	if err != nil {
		return nil, nil, err
	}
	mesh, err := configuration.Mesh()
	if err != nil {
		return nil, nil, fmt.Errorf("configuration: %w", err)
	}
	if i.rehearse = names; len(names) == 0 {
		for _, object := range stored {
			if object.GetKind() == "Namespace" {
				i.rehearse = append(i.rehearse, object.GetName())
			}
		}
	}
	session, err := i.cluster(stored)
	return session, mesh, err
}
