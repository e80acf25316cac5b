package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/egress-governor/egress-governor/internal/discover"
	"github.com/egress-governor/egress-governor/internal/dryrun"
	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/manifest"
	"github.com/egress-governor/egress-governor/internal/report"
)

// logs are the flags that say which access logs are read.
type logs struct {
	inputs
	all      bool
	selector string
	since    time.Duration
	output   string
}

func discoverCommand() *cobra.Command {
	var l logs
	out := &cobra.Command{
		Use: "discover", Short: "Find the hosts that workloads call in access logs, and draft entries of them", Args: noArguments,
		Long: `Reads access logs of sidecars, in Istio's default forms as text or JSON: those of files or standard input, or of the pods of a cluster.
It prints a draft of a ServiceEntry for each host that no entry names, and for each namespace an EgressPolicy that records every
other host: the way to a mesh that lets nothing out but what entries name. Drafts are such as the webhook stores without a word.

A file may have the prefixes of kubectl logs --prefix; lines of other containers are passed over then.`,
		Example: `  egressctl discover -f access.log -n payments

  kubectl logs -n payments -l app --prefix --tail -1 -c istio-proxy | egressctl discover -f - -n payments -o table

  # All pods of a cluster, of the last day: egressctl discover -A --since 24h --kubeconfig ~/.kube/config`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !slices.Contains(report.DiscoveryFormats, l.output) {
				return oneOf("output", l.output, report.DiscoveryFormats)
			}
			if len(validation.IsDNS1123Label(l.namespace)) > 0 {
				return fmt.Errorf("--namespace: %q is no name of a namespace", l.namespace)
			}
			return l.run(cmd)
		},
	}
	out.Flags().StringSliceVarP(&l.files, "filename", "f", nil, "access logs: files, or - for standard input (default: those of the pods of --kubeconfig or --context)")
	out.Flags().BoolVarP(&l.all, "all-namespaces", "A", false, "read the logs of pods of all governed namespaces")
	out.Flags().StringVarP(&l.selector, "selector", "l", "", "read the logs of pods with these labels")
	out.Flags().DurationVar(&l.since, "since", 0, "read what the logs of pods say since so long ago, such as 24h (default: all they have)")
	l.bindCluster(out)
	out.Flags().Lookup("namespace").Usage = "namespace of the pods"
	out.MarkFlagsOneRequired("filename", "kubeconfig", "context")
	out.Flags().StringVarP(&l.output, "output", "o", "yaml", "yaml: the drafts; table or json: what was found")
	completes(out, "output", report.DiscoveryFormats...)
	return out
}

// run prints what was found, and tells what it could not read.
func (l *logs) run(cmd *cobra.Command) error {
	stored, err := l.read(cmd.Context(), cmd.InOrStdin())
	if err != nil {
		return err
	}
	session, err := l.cluster(stored)
	if err != nil {
		return err
	}
	configuration, err := l.configuration(stored)
	if err != nil {
		return err
	}
	mesh, err := configuration.Mesh()
	if err != nil {
		return err
	}
	if err := session.Store(stored...); err != nil {
		return err
	}
	found := discover.New(inside(mesh, stored))
	unread, err := l.find(cmd, found, mesh, stored)
	if err != nil {
		return err
	}
	if err := l.print(cmd.Context(), cmd.OutOrStdout(), session, found); err != nil {
		return err
	}
	l.note(cmd, session)
	notes(cmd.ErrOrStderr(), found.Count)
	return unread
}

// find reads the logs. The first error is that of pods whose logs could not be read.
func (l *logs) find(cmd *cobra.Command, into *discover.Log, mesh *egress.Mesh, stored []manifest.Object) (unread, err error) {
	for _, file := range l.files {
		if err := readLog(file, cmd.InOrStdin(), into, l.namespace); err != nil {
			return nil, err
		}
	}
	if len(l.files) == 0 {
		if unread, err = l.pods(cmd, into, mesh, stored); err != nil {
			return nil, err
		}
	}
	if read := into.Count; read.Calls+read.Inside+read.Nameless == 0 {
		return nil, errors.Join(unread, fmt.Errorf("none of %d lines is one of an access log in Istio's default form: is accessLogFile set in the mesh configuration?", read.Lines))
	}
	return unread, nil
}

func readLog(file string, in io.Reader, into *discover.Log, namespace string) error {
	if file == manifest.Stdin {
		return into.Read(in, namespace, "")
	}
	of, err := os.Open(file)
	if err != nil {
		return err
	}
	defer func() { _ = of.Close() }() // it was read
	return into.Read(of, namespace, "")
}

// inside says which hosts are the mesh's own: those of its domain, and of Services in the forms that clients may write.
func inside(mesh *egress.Mesh, stored []manifest.Object) func(host string) bool {
	services := map[string]bool{}
	for _, object := range stored {
		if object.GetKind() == "Service" {
			services[object.GetName()+"."+object.GetNamespace()] = true
		}
	}
	return func(host string) bool {
		return mesh.InCluster(host) || strings.HasSuffix(host, ".svc") || services[host]
	}
}

func (l *logs) print(ctx context.Context, w io.Writer, session *dryrun.Session, found *discover.Log) error {
	if l.output != "yaml" {
		return report.NewDiscovery(found).Write(w, l.output)
	}
	var drafts []*discover.Draft
	for _, namespace := range found.Namespaces() {
		if draft := found.Draft(namespace); draft != nil {
			drafts = append(drafts, draft)
		}
	}
	if err := discover.Check(ctx, session, drafts); err != nil {
		return err
	}
	return discover.WriteDrafts(w, drafts)
}

// notes tells what no host was taken from.
func notes(w io.Writer, of discover.Count) {
	for _, each := range []struct {
		count int
		what  string
	}{
		{of.Unreadable, "lines look like access logs and have another form than Istio's default"},
		{of.Nameless, "calls name their host by what is no name"},
		{of.Full, "calls are left out: their namespaces call too many hosts"},
	} {
		if each.count > 0 {
			fmt.Fprintf(w, "Note: %d %s.\n", each.count, each.what)
		}
	}
}
