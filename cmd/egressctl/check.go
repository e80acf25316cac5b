package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/internal/adopt"
	"github.com/egress-governor/egress-governor/internal/chart"
	"github.com/egress-governor/egress-governor/internal/checkup"
	"github.com/egress-governor/egress-governor/internal/controller"
	"github.com/egress-governor/egress-governor/internal/manifest"
	"github.com/egress-governor/egress-governor/internal/report"
	"github.com/egress-governor/egress-governor/internal/review"
)

// checking looks at an installation.
type checking struct {
	target
	output          string
	verbose, strict bool
	skip            []string
	timeout         time.Duration

	rest   *rest.Config
	client dynamic.Interface
	// stored are the objects that were read, as manifests.
	stored []manifest.Object
	out    *checkup.Snapshot
}

func checkCommand() *cobra.Command {
	c := &checking{}
	out := &cobra.Command{
		Use: "check", Short: "Say everything that is wrong with an installation, why it matters, and how to mend it", Args: noArguments,
		Long: `Looks at everything that has to be right in a cluster: the webhook, its certificate and the guards, the gateways and their configuration as
istiod has it, the mesh, exits, entries, pods, policies, and who may open ways round. It asks the API server what it would store of four
objects, and stores nothing.

It exits with 0 where nothing is wrong, with 1 where something is, with --strict also where a warning is all, and with 2 where nothing is and
not everything could be looked at. What could not be looked at is named with the reason, mostly a right that is missing; it never counts as
sound. The checks are ` + strings.Join(checkup.Names(), ", ") + `.`,
		Example: `  # In the cluster of kubectl's current context: egressctl check

  # For a script that may not read rights, nor reach into pods: egressctl check -o json --skip rights,proxies`,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.run(cmd) },
	}
	c.bind(out)
	out.Flags().StringVarP(&c.output, "output", "o", "table", "form of the answer: table, json or yaml")
	completes(out, "output", report.CheckupFormats...)
	out.Flags().BoolVarP(&c.verbose, "verbose", "v", false, "name what is sound in a table, too")
	out.Flags().BoolVar(&c.strict, "strict", false, "take warnings for errors")
	out.Flags().StringSliceVar(&c.skip, "skip", nil, "leave out these checks")
	completes(out, "skip", checkup.Names()...)
	out.Flags().DurationVar(&c.timeout, "timeout", 2*time.Minute, "how long it may take")
	return out
}

func (c *checking) run(cmd *cobra.Command) error {
	if !slices.Contains(report.CheckupFormats, c.output) {
		return oneOf("output", c.output, report.CheckupFormats)
	}
	for _, name := range c.skip {
		if !slices.Contains(checkup.Names(), name) {
			return oneOf("skip", name, checkup.Names())
		}
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), c.timeout)
	defer cancel()
	var err error
	if c.rest, err = c.target.rest(); err != nil {
		return err
	}
	c.rest.WarningHandler = rest.NoWarnings{}
	if err := c.look(ctx); err != nil {
		return err
	}
	found := checkup.Run(c.out, c.skip)
	found.Cluster = c.rest.Host
	if err := report.WriteCheckup(cmd.OutOrStdout(), found, c.output, c.verbose); err != nil {
		return err
	}
	switch found.Exit(c.strict) {
	case violations:
		return errViolations
	case failed:
		return errUnknown
	}
	return nil
}

// look takes the snapshot. The error is that of a cluster that does not answer at all.
func (c *checking) look(ctx context.Context) error {
	var err error
	if c.client, err = dynamic.NewForConfig(c.rest); err != nil {
		return fmt.Errorf("kubeconfig: %w", err)
	}
	server, err := discovery.NewDiscoveryClientForConfig(c.rest)
	if err != nil {
		return fmt.Errorf("kubeconfig: %w", err)
	}
	version, err := server.ServerVersion()
	if err != nil {
		return fmt.Errorf("cluster %s: %w", c.rest.Host, err)
	}
	c.out = &checkup.Snapshot{
		Now: time.Now(), Version: version.GitVersion, Objects: map[schema.GroupResource][]*unstructured.Unstructured{}, Unread: map[schema.GroupResource]error{},
	}
	c.read(ctx)
	c.stored = manifests(c.out.Objects, c.rest.Host)
	c.configure()
	c.certificate(ctx)
	if c.out.Mesh != nil {
		c.preflight(ctx)
		c.ungoverned(ctx)
		c.out.Proxies, c.out.ProxiesUnread = c.proxies(ctx)
	}
	c.ask(ctx)
	return nil
}

// configure reads the webhook's configuration, and what the mesh says.
func (c *checking) configure() {
	var own []manifest.Object
	for _, object := range c.stored {
		if _, is := configured(object); is {
			own = append(own, object)
		}
	}
	of, err := (&inputs{context: "cluster"}).configuration(own)
	if err != nil {
		c.out.Unconfigured = err.Error()
		return
	}
	if c.out.Mesh, err = of.Mesh(); err != nil {
		c.out.Unconfigured = err.Error()
		return
	}
	c.out.Configuration = of
	c.out.Release = checkup.Release{Namespace: own[0].GetNamespace(), Name: own[0].GetName()}
	if c.out.Guards, err = chart.Guards(of, c.out.Release.Namespace); err != nil {
		c.out.Unread[guards[0].GroupResource()] = err
	}
	text, _ := meshConfig(of, c.stored)
	c.out.MeshIs, c.out.MeshUnread = settings(text)
}

func settings(text string) (out checkup.MeshSettings, err error) {
	if out.DNSCapture, err = controller.CapturesDNS(text); err != nil {
		return out, err
	}
	out.RootNamespace, err = controller.RootNamespace(text)
	return out, err
}

// preflight has the webhook's own preflight look, by the rights of who asks.
func (c *checking) preflight(ctx context.Context) {
	live, err := client.New(c.rest, client.Options{Scheme: clientgoscheme.Scheme})
	if err != nil {
		c.out.ProblemsUnread = err
		return
	}
	hosts, err := adopt.View(c.out.Mesh, c.stored)
	if err != nil {
		c.out.ProblemsUnread = err
		return
	}
	of := &controller.Preflight{Mesh: c.out.Mesh, Live: live, Foreign: hosts.Foreign, View: hosts, MeshConfig: c.out.Configuration.MeshConfig.Key()}
	if c.out.Mesh.Block {
		of.Open, of.Unclosed = c.open, c.unclosed
	}
	found, err := of.Look(ctx)
	c.out.ProblemsUnread = err
	for _, problem := range found {
		c.out.Problems = append(c.out.Problems, checkup.Problem(problem))
	}
	c.out.Ungoverned = hosts.Ungoverned()
}

// ungoverned judges the stored entries as the audit does, for those that lead straight out.
func (c *checking) ungoverned(ctx context.Context) {
	for _, resource := range read {
		if err := c.out.Unread[resource.GroupResource()]; err != nil && c.out.EntriesUnread == nil {
			c.out.EntriesUnread = err
		}
	}
	session, err := (&inputs{context: "cluster"}).cluster(c.stored)
	if err == nil {
		err = session.Store(c.stored...)
	}
	for _, entry := range c.out.Objects[schema.GroupResource{Group: "networking.istio.io", Resource: "serviceentries"}] {
		var findings []review.Finding
		if err == nil {
			findings, _, err = session.Judge(ctx, entry)
		}
		if slices.ContainsFunc(findings, func(finding review.Finding) bool { return finding.Code == review.CodeUnsealed }) {
			c.out.Unsealed = append(c.out.Unsealed, entry.GetNamespace()+"/"+entry.GetName())
		}
	}
	if err != nil {
		c.out.EntriesUnread = err
	}
}

// ask has the API server judge objects that it does not store, entries in the namespace default or else the first that is governed.
func (c *checking) ask(ctx context.Context) {
	namespace := ""
	for _, object := range c.out.Objects[schema.GroupResource{Resource: "namespaces"}] {
		name := object.GetName()
		if c.out.Mesh != nil && c.out.Governed(name) && object.GetDeletionTimestamp() == nil && namespace != metav1.NamespaceDefault && (namespace == "" || name == metav1.NamespaceDefault || name < namespace) {
			namespace = name
		}
	}
	c.out.Answers = checkup.Ask(checkup.Probes(namespace), func(probe checkup.Probe) (*unstructured.Unstructured, error) {
		return c.client.Resource(probe.Resource).Namespace(probe.Object.GetNamespace()).Create(ctx, probe.Object, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	})
}
