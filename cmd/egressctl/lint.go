package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"

	"github.com/pmezard/go-difflib/difflib"
	"github.com/spf13/cobra"

	"github.com/egress-governor/egress-governor/internal/lint"
)

func lintCommand() *cobra.Command {
	var output, regal string
	out := &cobra.Command{
		Use: "lint FILES", Short: "Hold Rego to the rules of the house, and to those of regal", Args: cobra.MinimumNArgs(1),
		Long: `Holds the Rego of files and, at any depth, of folders to rules: that of .rego files, and of EgressPolicies in manifests.

  strict     it compiles as opa check --strict --schema has it, and the whole EgressPolicy fits
  pure       it calls no built-in that policies may not call
  package    its package has the name of the EgressPolicy, or of its folders
  metadata   METADATA says what the policy and its rules are for; results have a code and a fix
  tested     a suite is about it, or a test stands beside it

Where there is a program regal, its rules are asked as well, by the configuration of the project (.regal/config.yaml).

It exits with 0 where nothing is found, with 1 where something is, and with 2 where that could not be told.`,
		Example: `  egressctl policy lint owned/

  egressctl policy lint owned/ -o json --regal none`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if output != "text" && output != "json" && output != "github" {
				return oneOf("output", output, []string{"text", "json", "github"})
			}
			sources, err := lint.Find(args)
			if err != nil {
				return err
			}
			found, err := lint.Lint(sources)
			if err != nil {
				return err
			}
			if program := regalProgram(cmd.ErrOrStderr(), regal); program != "" {
				more, err := lint.Regal(cmd.Context(), program, sources)
				if err != nil {
					return err
				}
				found = lint.Merge(found, more)
			}
			if err := printFindings(cmd.OutOrStdout(), found, len(sources), output); err != nil {
				return err
			}
			if len(found) > 0 {
				return errViolations
			}
			return nil
		},
	}
	out.Flags().StringVar(&regal, "regal", "", "program of regal (default: the one of the PATH, or none)")
	out.Flags().StringVarP(&output, "output", "o", "text", "text, json or github")
	completes(out, "output", "text", "json", "github")
	return out
}

// regalProgram returns the program that is asked for, or that is there; empty for none, which is told.
func regalProgram(told io.Writer, asked string) string {
	if asked == "none" {
		return ""
	}
	if asked != "" {
		return asked
	}
	found, err := exec.LookPath("regal")
	if err != nil {
		fmt.Fprintln(told, "Note: there is no program regal on the PATH, so its rules are not asked.")
		return ""
	}
	return found
}

func printFindings(w io.Writer, found []lint.Finding, sources int, output string) error {
	switch output {
	case "json":
		encoder := json.NewEncoder(w)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		if found == nil {
			found = []lint.Finding{}
		}
		return encoder.Encode(found)
	case "github":
		for _, finding := range found {
			if _, err := fmt.Fprintf(w, "::error file=%s,line=%d,title=%s::%s\n", finding.File, finding.Line, finding.Rule, finding.Message); err != nil {
				return err
			}
		}
		return nil
	}
	for _, finding := range found {
		fmt.Fprintln(w, finding)
	}
	_, err := fmt.Fprintf(w, "%s: %s\n", counted(sources, "module"), counted(len(found), "finding"))
	return err
}

func counted(count int, what string) string {
	if count != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", count, what)
}

func fmtCommand() *cobra.Command {
	var check, diff bool
	out := &cobra.Command{
		Use: "fmt FILES", Short: "Format Rego, in files of its own and in EgressPolicies", Args: cobra.MinimumNArgs(1),
		Long: `Formats the Rego of files and, at any depth, of folders as opa fmt does: that of .rego files, and of EgressPolicies in manifests, of
which nothing else changes. There two spaces stand for each tab, which would have kubectl print the Rego escaped.

It prints the files that it writes. With --check or --diff it writes none, and exits with 1 where it would.`,
		Example: `  egressctl policy fmt owned/ --check --diff`,
		RunE: func(cmd *cobra.Command, args []string) error {
			sources, err := lint.Find(args)
			if err != nil {
				return err
			}
			files, err := lint.Format(sources)
			if err != nil {
				return err
			}
			for _, file := range files {
				if err := printFormatted(cmd.OutOrStdout(), file, check || diff, diff); err != nil {
					return err
				}
			}
			if (check || diff) && len(files) > 0 {
				return errViolations
			}
			return nil
		},
	}
	out.Flags().BoolVar(&check, "check", false, "print the files that are not formatted, and write none")
	out.Flags().BoolVar(&diff, "diff", false, "print the differences, and write none")
	return out
}

// printFormatted writes a file, or prints what would be written.
func printFormatted(w io.Writer, file lint.Formatted, keep, diff bool) error {
	if !keep {
		info, err := os.Stat(file.File)
		if err == nil {
			err = os.WriteFile(file.File, []byte(file.After), info.Mode().Perm())
		}
		if err != nil {
			return err
		}
	}
	if !diff {
		_, err := fmt.Fprintln(w, file.File)
		return err
	}
	text, err := difflib.GetUnifiedDiffString(difflib.UnifiedDiff{
		A: lines(file.Before), B: lines(file.After), FromFile: file.File, ToFile: file.File, Context: 3,
	})
	if err == nil {
		_, err = fmt.Fprint(w, text)
	}
	return err
}
