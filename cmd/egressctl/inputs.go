package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/egress-governor/egress-governor/internal/apiserver"
	"github.com/egress-governor/egress-governor/internal/dryrun"
	"github.com/egress-governor/egress-governor/internal/manifest"
	"github.com/egress-governor/egress-governor/internal/review"
)

// inputs are the flags that say what is asked about, and in which cluster.
type inputs struct {
	files, policies, stored []string
	recursive               bool
	bundles                 []string
	config, baseline        string
	kubeconfig, context     string
	namespace               string
	// rehearse are observed namespaces that are governed where it is asked.
	rehearse []string
	user     string
	groups   []string
	time     string
	sending  sending
	// guarded says that guards are asked; unguarded that those which are stored are known, and are all.
	guarded, unguarded bool
	// rights are those of the cluster, nil for none.
	rights apiserver.Rights
	// notes are what whoever reads the answers must know.
	notes []string
	// sources are the objects among which the EgressPolicies in force are.
	sources []manifest.Object
}

// bind makes the inputs flags of a command that is asked about manifests.
func (i *inputs) bind(cmd *cobra.Command) {
	i.bindApplied(cmd)
	_ = cmd.MarkFlagRequired("filename") // the flag is there
}

// bindApplied makes them flags of one that is asked about a cluster, to which manifests may be applied.
func (i *inputs) bindApplied(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringSliceVarP(&i.files, "filename", "f", nil, "manifests: files, folders, or - for standard input")
	flags.StringSliceVarP(&i.policies, "policies", "p", nil, "files and folders of EgressPolicies that are in force")
	flags.StringVar(&i.user, "as", "", "who applies the manifests")
	flags.StringSliceVar(&i.groups, "as-group", nil, "groups of who applies them")
	i.sending.bind(cmd)
	i.bindCluster(cmd)
}

// bindCluster makes those flags that say in which cluster something is asked.
func (i *inputs) bindCluster(cmd *cobra.Command) {
	i.bindStored(cmd)
	cmd.Flags().StringVarP(&i.namespace, "namespace", "n", "default", "namespace of objects that name none")
}

// bindStored makes those flags that say in which cluster something is asked about what is stored.
func (i *inputs) bindStored(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.BoolVarP(&i.recursive, "recursive", "R", false, "read folders below the folders that are named, too")
	bindBundles(cmd, &i.bundles)
	flags.StringSliceVar(&i.stored, "cluster", nil, "files and folders of objects that are stored already, as kubectl get -o yaml prints them")
	flags.StringVar(&i.kubeconfig, "kubeconfig", "", "take what is stored already from the cluster of this file")
	flags.StringVar(&i.context, "context", "", "take it from the cluster of this context")
	flags.StringVar(&i.config, "config", "", "configuration of the webhook, or the ConfigMap with it (default: that of the cluster, or what the chart installs without values)")
	flags.StringVar(&i.baseline, "baseline", "", "enforcement of the baseline: Deny, Warn, Audit or Off (default: as configured)")
	completes(cmd, "baseline", enforcements...)
	flags.StringVar(&i.time, "time", "", "when that is, such as 2027-01-31T00:00:00Z (default now)")
}

// manifests reads the files that are asked about. To have none is an error: whatever was to print them failed.
func (i *inputs) manifests(in io.Reader) ([]manifest.Object, error) {
	out, err := manifest.Read(i.files, in, i.recursive)
	if err == nil && len(out) == 0 {
		err = fmt.Errorf("there are no objects in %s", strings.ReplaceAll(strings.Join(i.files, ", "), manifest.Stdin, "standard input"))
	}
	return out, err
}

// session returns the cluster in which they are applied, with the EgressPolicies of --policies in force.
func (i *inputs) session(ctx context.Context, in io.Reader) (*dryrun.Session, error) {
	stored, err := i.read(ctx, in)
	if err != nil {
		return nil, err
	}
	out, err := i.cluster(stored)
	if err != nil {
		return nil, err
	}
	policies, err := i.inForce(in)
	if err != nil {
		return nil, err
	}
	i.sources = slices.Concat(stored, policies)
	err = errors.Join(out.Store(stored...), out.Enforce(policies...))
	i.notes = append(i.notes, out.Told()...)
	return out, err
}

// read returns what is stored already; of a cluster more resources are read than decide.
func (i *inputs) read(ctx context.Context, in io.Reader, more ...schema.GroupVersionResource) ([]manifest.Object, error) {
	stored, err := manifest.Read(i.stored, in, i.recursive)
	if err != nil {
		return nil, err
	}
	live, err := i.live(ctx, more...)
	return append(stored, live...), err
}

// cluster returns one that goes by what is stored there, and holds nothing of it yet.
func (i *inputs) cluster(stored []manifest.Object) (*dryrun.Session, error) {
	at := time.Now()
	if i.time != "" {
		var err error
		if at, err = time.Parse(time.RFC3339, i.time); err != nil {
			return nil, fmt.Errorf("--time: %w", err)
		}
	}
	configuration, err := i.configuration(stored)
	if err != nil {
		return nil, err
	}
	capture, err := captures(configuration, stored)
	if err != nil {
		return nil, err
	}
	server, err := i.server(configuration, stored)
	if err != nil {
		return nil, err
	}
	inForce, err := standards(configuration, i.bundles)
	if err != nil {
		return nil, err
	}
	way, err := i.sending.way()
	if err != nil {
		return nil, err
	}
	return dryrun.New(dryrun.Options{
		Configuration: configuration, Standards: inForce, Server: server, DNSCapture: capture, Namespace: cmp.Or(i.namespace, metav1.NamespaceDefault),
		Release: release(stored), Rehearse: i.rehearse,
		Sending: dryrun.Sending{Time: at, User: review.User{Name: i.user, Groups: i.groups}, Way: way, Manager: i.sending.manager, Force: i.sending.force},
	})
}

// inForce reads the EgressPolicies of --policies.
func (i *inputs) inForce(in io.Reader) ([]manifest.Object, error) {
	out, err := manifest.Read(i.policies, in, i.recursive)
	if err != nil {
		return nil, err
	}
	var errs []error
	places := map[string]string{}
	for _, object := range out {
		place, name := manifest.Place(object.File, object.Line), object.GetName()
		switch other := places[name]; {
		case object.GetKind() != "EgressPolicy":
			errs = append(errs, fmt.Errorf("%s: %s is not an EgressPolicy", place, manifest.Name(object.Unstructured)))
		case other != "":
			errs = append(errs, fmt.Errorf("%s: EgressPolicy %s stands in %s, too, and one of both would be in force", place, name, other))
		default:
			places[name] = place
		}
	}
	return out, errors.Join(errs...)
}

// completes has a shell offer the values that a flag takes.
func completes(cmd *cobra.Command, flag string, values ...string) {
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)) // the flag is there
}

// oneOf is the error of a value that a flag does not take.
func oneOf(flag, value string, allowed []string) error {
	return fmt.Errorf("--%s must be %s, is %q", flag, strings.Join(allowed, " or "), cmp.Or(value, "empty"))
}
