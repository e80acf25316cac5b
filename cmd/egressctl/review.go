package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/egress-governor/egress-governor/internal/dryrun"
	"github.com/egress-governor/egress-governor/internal/report"
	"github.com/egress-governor/egress-governor/internal/version"
)

func reviewCommand() *cobra.Command {
	var i inputs
	var output string
	var options report.Options
	out := &cobra.Command{
		Use: "review -f FILES", Short: "Say what the API server answers to manifests, and in it the webhook", Args: noArguments,
		Long: `Says what the API server answers to manifests, word for word, as if kubectl applied them in the order in which they stand: by the
schemas and rules of their kinds, by the guards of the chart, and by the webhook. --server-side, --field-manager and --force-conflicts are
those of kubectl apply.

Namespaces and EgressPolicies among them count for all of them. A namespace that none declares is there without labels. Objects of
kinds and namespaces that are not governed are passed over.`,
		Example: `  # A file, with the EgressPolicies of a folder in force
  egressctl review -f entry.yaml -p policies/

  # What a chart would install, as annotations of a pull request
  helm template release chart/ | egressctl review -f - -n payments -o github

  # A folder, against what a cluster holds; warnings fail as well
  egressctl review -f manifests/ -R --cluster cluster.yaml --strict

  # For a code scanner, with the baseline only warning
  egressctl review -f manifests/ -R --baseline Warn -o sarif`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !slices.Contains(report.Formats(), output) {
				return oneOf("output", output, report.Formats())
			}
			_, answers, err := i.apply(cmd)
			if err != nil {
				return err
			}
			options.Version = version.String()
			if err := report.New(answers).Write(cmd.OutOrStdout(), output, options); err != nil {
				return err
			}
			if dryrun.Failed(answers, options.Strict) {
				return errViolations
			}
			return nil
		},
	}
	i.bind(out)
	i.bindGuards(out)
	out.Flags().StringVarP(&output, "output", "o", "table", "form of the answers: table, json, yaml, sarif, junit or github")
	out.Flags().BoolVar(&options.Strict, "strict", false, "exit with 1 where authors are warned, too")
	out.Flags().BoolVarP(&options.Quiet, "quiet", "q", false, "leave out of the table what is allowed")
	completes(out, "output", report.Formats()...)
	return out
}

// apply applies the manifests, and shows how far it is on a terminal.
func (i *inputs) apply(cmd *cobra.Command) (*dryrun.Session, []dryrun.Answer, error) {
	session, err := i.session(cmd.Context(), cmd.InOrStdin())
	if err != nil {
		return nil, nil, err
	}
	objects, err := i.manifests(cmd.InOrStdin())
	if err != nil {
		return nil, nil, err
	}
	standing, err := i.standing(cmd.Context(), objects)
	if err == nil {
		err = session.Store(standing...)
	}
	if err != nil {
		return nil, nil, err
	}
	for _, note := range i.notes {
		fmt.Fprintf(cmd.ErrOrStderr(), "Note: %s\n", note)
	}
	bar := newProgress(cmd.ErrOrStderr(), len(objects))
	defer bar.end()
	answers, err := session.Apply(cmd.Context(), objects, bar.step)
	if err == nil {
		bar.end()
		i.note(cmd, session)
	}
	return session, answers, err
}

// note tells of which namespaces nothing was said, where that may change answers.
func (i *inputs) note(cmd *cobra.Command, session *dryrun.Session) {
	if namespaces, selecting := session.Unlabelled(); len(namespaces) > 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "Note: nothing declares namespace %s, so it is taken to have no labels; what selects by labels of namespaces may pass it over: %s. Give its Namespace among the manifests, by --cluster, or by --kubeconfig.\n",
			strings.Join(namespaces, ", "), strings.Join(selecting, ", "))
	}
	if names := session.Unmanaged(); len(names) > 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "Note: nothing says who owns the fields of %s, so nobody but the author is taken to. Have --cluster files from kubectl get --show-managed-fields.\n", strings.Join(names, ", "))
	}
}

// refusals tells the noes among answers. It returns errViolations where there are some.
func refusals(w io.Writer, answers []dryrun.Answer) error {
	var noes []dryrun.Answer
	for _, answer := range answers {
		if !answer.Allowed() {
			noes = append(noes, answer)
		}
	}
	if len(noes) == 0 {
		return nil
	}
	if err := report.New(noes).Write(w, "table", report.Options{}); err != nil {
		return err
	}
	return errViolations
}
