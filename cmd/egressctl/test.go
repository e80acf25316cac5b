package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/egress-governor/egress-governor/internal/config"
	"github.com/egress-governor/egress-governor/internal/policy"
	"github.com/egress-governor/egress-governor/internal/report"
	"github.com/egress-governor/egress-governor/internal/suite"
)

// tests are the flags of test.
type tests struct {
	run, output       string
	update, coverage  bool
	verbose, watching bool
	schema            bool
	bundles           []string
}

func testCommand() *cobra.Command {
	var flags tests
	out := &cobra.Command{
		Use: "test [FOLDER|FILE]...", Short: "Test EgressPolicies by suites of cases",
		Long: `Runs the suites among files, and those of folders at any depth: files that end in _test.yaml. A suite has cases, each a manifest
and what the webhook must answer to it. Cases are answered as review answers, each in a cluster of its own.

It exits with 0 where all is as expected, with 1 where something is not, and with 2 where that could not be told.`,
		Example: `  egressctl test policies/

  # Some cases, with each that passes
  egressctl test policies/ --run 'hosts_test.yaml/another' -v

  # For a CI system, and how much of their Rego they evaluate
  egressctl test policies/ -o junit
  egressctl test owned/ --coverage

  # For editors of suites
  egressctl test --schema`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if flags.schema {
				_, err := cmd.OutOrStdout().Write(suite.Schema)
				return err
			}
			if len(args) == 0 {
				args = []string{"."}
			}
			if !slices.Contains(report.TestFormats, flags.output) {
				return oneOf("output", flags.output, report.TestFormats)
			}
			pattern, err := regexp.Compile(flags.run)
			if err != nil {
				return fmt.Errorf("--run: %w", err)
			}
			if flags.watching {
				return flags.watch(cmd, args, pattern)
			}
			return flags.once(cmd, args, pattern)
		},
	}
	out.Flags().StringVar(&flags.run, "run", "", "run the cases whose name after that of the file, FILE/NAME, matches this regular expression")
	out.Flags().BoolVar(&flags.schema, "schema", false, "print the JSON Schema of suites, for editors, and run none")
	bindBundles(out, &flags.bundles)
	out.Flags().BoolVar(&flags.update, "update", false, "write the files that hold what is stored anew")
	out.Flags().BoolVar(&flags.coverage, "coverage", false, "say which lines of the suites' own Rego no case evaluates")
	out.Flags().StringVarP(&flags.output, "output", "o", "table", "form of the results: table, json or junit")
	completes(out, "output", report.TestFormats...)
	out.Flags().BoolVarP(&flags.verbose, "verbose", "v", false, "list the cases that pass, too")
	out.Flags().BoolVar(&flags.watching, "watch", false, "run again whenever a file changes, until interrupted")
	return out
}

// once runs all suites.
func (t *tests) once(cmd *cobra.Command, paths []string, pattern *regexp.Regexp) error {
	suites, err := readSuites(paths)
	if err != nil {
		return err
	}
	options := suite.Options{Configure: configure, Standards: t.standards, Server: guarded, Update: t.update, Time: time.Now(), Run: pattern.MatchString}
	if t.coverage {
		options.Coverage = policy.NewCoverage()
	}
	outcomes, err := runSuites(cmd.Context(), suites, options)
	if err != nil {
		return err
	}
	results := report.NewTests(outcomes)
	if results.Summary.Cases == 0 {
		return fmt.Errorf("no case matches %q", t.run)
	}
	if t.coverage {
		if results.Coverage, err = covered(options.Coverage, outcomes); err != nil {
			return err
		}
	}
	if err := results.Write(cmd.OutOrStdout(), t.output, t.verbose); err != nil {
		return err
	}
	switch {
	case results.Summary.Errors > 0:
		return errors.New("some cases could not be run")
	case results.Failed():
		return errViolations
	}
	return nil
}

// readSuites reads the suites of paths. The error has everything that is wrong with any.
func readSuites(paths []string) (out []*suite.Suite, err error) {
	files, err := suite.Find(paths)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, file := range files {
		one, err := suite.Read(file)
		out, errs = append(out, one), append(errs, err)
	}
	return out, errors.Join(errs...)
}

func runSuites(ctx context.Context, suites []*suite.Suite, options suite.Options) (out []*suite.Outcome, err error) {
	var errs []error
	for _, each := range suites {
		outcome, err := each.Run(ctx, options)
		out, errs = append(out, outcome), append(errs, err)
	}
	return out, errors.Join(errs...)
}

func (t *tests) standards(of *config.Configuration) (*policy.Engine, error) {
	return standards(of, t.bundles)
}

// configure is the configuration of a suite.
func configure(file, baseline string) (*config.Configuration, error) {
	return (&inputs{config: file, baseline: baseline}).configuration(nil)
}
