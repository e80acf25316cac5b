package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/dryrun"
	"github.com/egress-governor/egress-governor/internal/manifest"
)

func inputCommand() *cobra.Command {
	var i inputs
	var policy, output string
	out := &cobra.Command{
		Use: "input -f FILES", Short: "Print the input of policies, for opa and conftest", Args: noArguments,
		Long: `Prints the document by which policies evaluate each of the manifests, for stock tools: opa eval, conftest.

With --policy it is what one EgressPolicy in force sees, its parameters among it; without, parameters are empty.
egressctl library --write writes the policies of the library.`,
		Example: `  egressctl library --write library/
  egressctl input -f entry.yaml -p policies/ --policy payments-hosts | opa eval -I -d library/ data.policies.allowed_hosts.deny

  # Every object of a folder, a document each
  egressctl input -f manifests/ -R -o yaml | conftest test - -p library/ --namespace policies.no_wildcards`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "json" && output != "yaml" {
				return oneOf("output", output, []string{"json", "yaml"})
			}
			session, answers, err := i.apply(cmd)
			if err != nil {
				return err
			}
			return printInputs(cmd.OutOrStdout(), session, answers, policy, output)
		},
	}
	i.bind(out)
	out.Flags().StringVar(&policy, "policy", "", "the EgressPolicy that is to be asked")
	out.Flags().StringVarP(&output, "output", "o", "json", "json or yaml")
	completes(out, "output", "json", "yaml")
	return out
}

func printInputs(w io.Writer, session *dryrun.Session, answers []dryrun.Answer, policy, output string) error {
	printed := 0
	for _, answer := range answers {
		document, err := session.Input(answer, policy)
		if err != nil {
			return fmt.Errorf("%s: %w", manifest.Place(answer.File, answer.Line), err)
		}
		if document == nil {
			continue
		}
		raw, err := json.MarshalIndent(document, "", "  ")
		if output == "yaml" && err == nil {
			raw, err = yaml.JSONToYAML(raw)
		}
		if err != nil {
			return err
		}
		if printed++; printed > 1 && output == "yaml" {
			raw = append([]byte("---\n"), raw...)
		}
		if output == "json" {
			raw = append(raw, '\n')
		}
		if _, err := w.Write(raw); err != nil {
			return err
		}
	}
	if printed == 0 {
		return errors.New("no policy is asked about any of the manifests")
	}
	return nil
}
