// Command egressctl asks the decision of the webhook about manifests. It decides nothing itself: it reads files, and prints
// what was answered.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/egress-governor/egress-governor/internal/version"
)

// Exit codes.
const (
	clean = iota
	violations
	failed
)

// errUnknown says that something could not be told, and that it was said already.
var errUnknown = errors.New("not everything could be looked at")

// errViolations says that something is not allowed, and that it was said already.
var errViolations = errors.New("violations")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // who interrupts it once more does not wait for it
	code := execute(ctx, os.Args, os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// execute runs a command line and returns its exit code.
func execute(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) int {
	cmd := command(filepath.Base(args[0]))
	cmd.SetArgs(args[1:])
	cmd.SetIn(in)
	cmd.SetOut(out)
	cmd.SetErr(errs)
	began := noteRuns(cmd)
	ran, err := unknown(cmd, args[1:])
	if err == nil {
		ran, err = cmd.ExecuteContextC(ctx)
	}
	switch {
	case err == nil:
		return clean
	case errors.Is(err, errViolations):
		return violations
	case errors.Is(err, errUnknown):
		return failed
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		// What is to be done about it stands beside.
		err = errors.New(strings.ReplaceAll(err.Error(), ctx.Err().Error(), "interrupted"))
	}
	fmt.Fprintf(errs, "Error: %s\n", strings.ReplaceAll(strings.TrimRight(err.Error(), "\n"), "\n", "\nError: "))
	if !*began {
		fmt.Fprintf(errs, "Usage: %s\nSee '%s --help'.\n", useLine(ran), ran.CommandPath())
	}
	return failed
}

// plugin is the name under which kubectl finds the program.
const plugin = "kubectl-egress"

// command returns the command line of the program that is called by a name.
func command(name string) *cobra.Command {
	out := &cobra.Command{
		Use:   "egressctl",
		Short: "Says what egress-governor answers to manifests, and what it makes of them",
		Long: `Says what egress-governor answers to manifests, and what it makes of them, by the decision of its webhook and without a cluster.

It exits with 0 where everything is allowed, with 1 where something is not, and with 2 where that could not be told.`,
		Version: version.String(), SilenceErrors: true, SilenceUsage: true,
	}
	if strings.TrimSuffix(name, ".exe") == plugin {
		out.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl egress"}
	}
	out.SetVersionTemplate("{{.Version}}\n")
	out.AddCommand(reviewCommand(), renderCommand(), unrenderCommand(), inputCommand(), explainCommand(), testCommand(), libraryCommand(), policyCommand(), versionCommand())
	out.AddCommand(traceCommand(), graphCommand(), reportCommand(), simulateCommand(), discoverCommand(), adoptCommand(), unsealCommand(), checkCommand(), stopCommand(), startCommand())
	return out
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: noArguments, Example: "  egressctl version",
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), version.String())
			return err
		},
	}
}
