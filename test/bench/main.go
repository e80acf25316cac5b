// Command bench measures what the webhook costs, by a real API server, beside a pair of webhooks that do nothing and beside CEL:
// make bench-api. Requests of all variants take turns in one run, so that what it says are ratios within it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/egress-governor/egress-governor/test/controlplane"
)

func main() {
	ctrl.SetLogger(logr.Discard())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		os.Exit(1) //nolint:gocritic // nothing is left for stop to do
	}
}

// options are how much is measured.
type options struct {
	root              string
	rounds, each      int
	clients           []int
	variants          []string
	storedRounds      int
	storedEach        int
	entries, policies []int
	only              []string
	pprof             bool
}

// of are the variants that are wanted.
func (o options) of() []variant {
	if len(o.variants) == 0 {
		return variants
	}
	return named(o.variants...)
}

func command() *cobra.Command {
	var o options
	out := &cobra.Command{Use: "bench", Short: "What the webhook costs, by a real API server", SilenceUsage: true, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		return measure(cmd.Context(), o)
	}}
	flags := out.Flags()
	flags.StringVar(&o.root, "root", "..", "the tree")
	flags.IntVar(&o.rounds, "rounds", 6, "rounds of dry runs, half of them backward")
	flags.IntVar(&o.each, "each", 100, "dry runs of each variant in a round of one client; of more clients three times as many")
	flags.IntSliceVar(&o.clients, "clients", []int{1, 4, 16}, "numbers of clients of dry runs")
	flags.StringSliceVar(&o.variants, "variants", nil, "which are measured, pair among them, and "+byHand+" where entries are stored; all where none is named")
	flags.IntVar(&o.storedRounds, "stored-rounds", 4, "rounds of entries that are stored")
	flags.IntVar(&o.storedEach, "stored-each", 240, "entries of each variant in such a round: while fewer are stored, the API server collects garbage or does not")
	flags.IntSliceVar(&o.entries, "entries", []int{100, 1000, 10000}, "numbers of entries to grow to")
	flags.IntSliceVar(&o.policies, "policies", []int{0, 0, 1000}, "numbers of policies that are in force then, at least")
	flags.StringSliceVar(&o.only, "only", []string{"dry-runs", "more", "stored", "growth"}, "what is measured")
	flags.BoolVar(&o.pprof, "pprof", false, "leave a processor profile of the webhook under load")
	var folder string
	var port int
	pair := &cobra.Command{Use: "pair", Hidden: true, RunE: func(cmd *cobra.Command, _ []string) error { return servePair(cmd.Context(), folder, port) }}
	pair.Flags().StringVar(&folder, "folder", "", "folder of the certificate")
	pair.Flags().IntVar(&port, "port", 0, "where it listens")
	documents := &cobra.Command{Use: "documents", Short: "Make tables of the last results", RunE: func(*cobra.Command, []string) error { return documents(o.root) }}
	documents.Flags().StringVar(&o.root, "root", "..", "the tree")
	out.AddCommand(pair, documents)
	return out
}

// step is a number of entries, and of policies.
type step struct{ entries, policies int }

// run is one under way.
type run struct {
	options
	folder             string
	plane              *controlplane.ControlPlane
	pair               *exec.Cmd
	http               *http.Client
	webhook, apiServer process
	// pprofAddress is where the webhook is profiled, empty for nowhere.
	pprofAddress string
	// sent counts the requests, so that each is of a name of its own.
	sent    int
	exitSet []writable
	status  []byte
}

func measure(ctx context.Context, o options) (err error) {
	r := &run{options: o}
	defer func() { err = errors.Join(err, r.stop()) }()
	if err := r.start(ctx); err != nil {
		return err
	}
	out := newResults(ctx, o.root)
	for _, part := range r.parts() {
		if !slices.Contains(o.only, part.name) {
			continue
		}
		if err := part.measure(ctx, out); err != nil {
			return err
		}
		if err := write(o.root, out); err != nil {
			return err
		}
	}
	return nil
}

// part is what can be measured alone.
type part struct {
	name    string
	measure func(context.Context, *results) error
}

func (r *run) parts() []part {
	return []part{{"dry-runs", r.measureDryRuns}, {"more", r.measureMore}, {"stored", r.measureStored}, {"growth", r.measureGrowth}}
}

func (r *run) start(ctx context.Context) (err error) {
	root, err := filepath.Abs(r.root)
	if err != nil {
		return err
	}
	of := controlplane.InTree(root, "bench")
	of.Values, r.folder = values(), of.Folder
	if r.pprof {
		ports, err := controlplane.FreePorts(1)
		if err != nil {
			return err
		}
		r.pprofAddress = fmt.Sprintf("127.0.0.1:%d", ports[0])
		of.WebhookFlags = []string{"--pprof-address=" + r.pprofAddress}
	}
	if r.plane, err = controlplane.Start(ctx, of); err != nil {
		return err
	}
	r.plane.Config.QPS = -1
	if r.http, err = rest.HTTPClientFor(r.plane.Config); err != nil {
		return err
	}
	if err := r.startPair(ctx); err != nil {
		return err
	}
	if r.webhook, r.apiServer = child("webhook"), child("kube-apiserver"); r.webhook == 0 || r.apiServer == 0 {
		return errors.New("the processes are not to be found in /proc")
	}
	return r.install(ctx, variants)
}

func (r *run) stop() error {
	err := r.stopPair()
	if r.plane != nil {
		err = errors.Join(err, r.plane.Stop())
	}
	return err
}

func (r *run) measureDryRuns(ctx context.Context, out *results) error {
	for _, many := range r.clients {
		each := r.each
		if many > 1 {
			each *= 3
		}
		samples, err := r.dryRuns(ctx, r.of(), many, r.rounds, each)
		if err != nil {
			return err
		}
		out.DryRun[fmt.Sprint(many)] = rows(samples)
		if err := write(r.root, out); err != nil {
			return err
		}
		fmt.Printf("%d clients\n", many)
		show(out.DryRun[fmt.Sprint(many)])
	}
	return nil
}

// measureMore measures what is not to be measured in turns, or not beside others.
func (r *run) measureMore(ctx context.Context, out *results) (err error) {
	if r.pprof {
		if err := r.profile(ctx); err != nil {
			return err
		}
	}
	if out.Peak, err = r.peaks(ctx, variants, 16, 3*r.each); err != nil {
		return err
	}
	out.Reloads, err = r.reloading(ctx, 10, 2*r.each)
	fmt.Printf("%+v\n%+v\n", out.Peak, out.Reloads)
	return err
}

// measureGrowth keeps what each step measured, whatever becomes of the next.
func (r *run) measureGrowth(ctx context.Context, out *results) error {
	if err := r.plane.Client.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: grown}}); err != nil {
		return err
	}
	stored := 0
	for i, count := range r.entries {
		next := step{entries: count}
		if i < len(r.policies) {
			next.policies = r.policies[i]
		}
		of, err := r.grow(ctx, next, stored)
		if err != nil {
			return fmt.Errorf("%d entries: %w", next.entries, err)
		}
		fmt.Printf("%+v\n", of)
		stored, out.Growth = next.entries, append(out.Growth, of)
		if err := write(r.root, out); err != nil {
			return err
		}
	}
	return nil
}

func resultsFile(root string) string { return filepath.Join(root, ".run", "bench", "results.json") }

func write(root string, out *results) error {
	raw, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(resultsFile(root), append(raw, '\n'), 0o600)
}
