package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/restmapper"

	"github.com/egress-governor/egress-governor/internal/dryrun"
	"github.com/egress-governor/egress-governor/internal/manifest"
)

// sending is how manifests reach the API server: the flags of kubectl apply, by their names there.
type sending struct {
	applies, serverSide, force bool
	manager                    string
}

func (s *sending) bind(cmd *cobra.Command) {
	flags := cmd.Flags()
	s.applies = true
	flags.BoolVar(&s.serverSide, "server-side", false, "answer as to kubectl apply --server-side, where the API server merges by who owns which field")
	flags.StringVar(&s.manager, "field-manager", "kubectl", "who applies, as the owner of fields (with --server-side)")
	flags.BoolVar(&s.force, "force-conflicts", false, "take over fields that others own (with --server-side)")
}

// way returns how manifests are sent. The error is kubectl's.
func (s *sending) way() (dryrun.Way, error) {
	switch {
	case s.serverSide:
		return dryrun.ServerSide, nil
	case s.force:
		return "", errors.New("--force-conflicts only works with --server-side")
	case s.applies:
		return dryrun.ClientSide, nil
	}
	return dryrun.Replace, nil
}

// standing returns what a cluster has stored under the names of manifests, of kinds that are not read whole.
func (i *inputs) standing(ctx context.Context, manifests []manifest.Object) (out []manifest.Object, err error) {
	if !i.isLive() {
		return nil, nil
	}
	config, client, err := i.client()
	if err != nil {
		return nil, err
	}
	kinds, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(kinds))
	for _, object := range manifests {
		mapping, err := mapper.RESTMapping(object.GroupVersionKind().GroupKind(), object.GroupVersionKind().Version)
		if meta.IsNoMatchError(err) || err == nil && (object.GetName() == "" || readWhole(mapping.Resource)) {
			continue // it may be defined among the manifests
		} else if err != nil {
			return nil, fmt.Errorf("cluster %s: %w", config.Host, err)
		}
		of := client.Resource(mapping.Resource)
		get := of.Get
		if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
			get = of.Namespace(cmp.Or(object.GetNamespace(), i.namespace)).Get
		}
		stored, err := get(ctx, object.GetName(), metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
		case apierrors.IsForbidden(err):
			i.notes = append(i.notes, fmt.Sprintf("%s of cluster %s may not be read, so it is answered as a new one.", manifest.Name(object.Unstructured), config.Host))
		case err != nil:
			return nil, fmt.Errorf("cluster %s: %s cannot be read: %w", config.Host, manifest.Name(object.Unstructured), err)
		default:
			out = append(out, manifest.Object{Unstructured: stored, File: config.Host})
		}
	}
	return out, nil
}

// readWhole says whether every object of a resource is read.
func readWhole(of schema.GroupVersionResource) bool {
	return slices.ContainsFunc(slices.Concat(read, definitions), func(each schema.GroupVersionResource) bool {
		return each.GroupResource() == of.GroupResource()
	})
}
