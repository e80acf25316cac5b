package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/egress-governor/egress-governor/internal/dryrun"
	"github.com/egress-governor/egress-governor/internal/manifest"
	"github.com/egress-governor/egress-governor/internal/policy"
)

func benchCommand() *cobra.Command {
	var i inputs
	var name, benchtime string
	var count int
	out := &cobra.Command{
		Use: "bench -f FILES", Short: "Measure EgressPolicies by the manifests that they are asked about", Args: noArguments,
		Long: `Measures how long each EgressPolicy in force takes to evaluate each of the manifests that it is asked about, and what it allocates, as
the webhook evaluates it. The output is that of go test -bench, for benchstat.`,
		Example: `  egressctl policy bench -f entry.yaml -p policies/ --cluster cluster.yaml --policy payments-hosts --benchtime 10x

  # Before and after a change, for benchstat
  egressctl policy bench -f manifests/ -R -p owned/ --policy owned --count 6 --benchtime 10x`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			testing.Init()
			if err := flag.Set("test.benchtime", benchtime); err != nil {
				return fmt.Errorf("--benchtime: %w", err)
			}
			session, answers, err := i.apply(cmd)
			if err != nil {
				return err
			}
			of, err := i.chosen(session, answers, name)
			if err != nil {
				return err
			}
			return bench(cmd.Context(), cmd.OutOrStdout(), session, answers, of, count)
		},
	}
	i.bind(out)
	out.Flags().StringVar(&name, "policy", "", "measure this EgressPolicy alone")
	out.Flags().StringVar(&benchtime, "benchtime", "1s", "how long each is measured, or how many times it is evaluated, such as 100x")
	out.Flags().IntVar(&count, "count", 1, "measure each so many times")
	return out
}

// bench measures policies, and prints as go test does.
func bench(ctx context.Context, w io.Writer, session *dryrun.Session, answers []dryrun.Answer, policies []dryrun.InForce, count int) error {
	fmt.Fprintf(w, "goos: %s\ngoarch: %s\npkg: egressctl\n", runtime.GOOS, runtime.GOARCH)
	measured := 0
	for _, each := range policies {
		for _, answer := range answers {
			evaluate, err := session.Evaluation(ctx, answer, each.Name)
			if err != nil {
				return fmt.Errorf("%s: EgressPolicy %s: %w", manifest.Place(answer.File, answer.Line), each.Name, err)
			}
			if evaluate == nil {
				continue
			}
			title := strings.ReplaceAll(manifest.Name(answer.Unstructured), " ", "/")
			for range count {
				measured++
				result := measure(ctx, evaluate)
				if _, err := fmt.Fprintf(w, "BenchmarkPolicy/%s/%s\t%s\t%s\n", each.Name, title, result, result.MemString()); err != nil {
					return err
				}
				if ctx.Err() != nil {
					return ctx.Err()
				}
			}
		}
	}
	if measured == 0 {
		return errors.New("no policy is asked about any of the manifests")
	}
	return nil
}

func measure(ctx context.Context, evaluate func(context.Context) policy.Decision) testing.BenchmarkResult {
	return testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			evaluate(ctx)
		}
	})
}
