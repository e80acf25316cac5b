package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/pager"

	"github.com/egress-governor/egress-governor/internal/manifest"
)

// read are the resources by which objects are decided on, in the versions that are asked for.
var read = []schema.GroupVersionResource{
	{Version: "v1", Resource: "namespaces"},
	{Version: "v1", Resource: "services"},
	{Version: "v1", Resource: "serviceaccounts"},
	{Version: "v1", Resource: "pods"},
	{Version: "v1", Resource: "configmaps"},
	{Group: "egress-governor.io", Version: "v1alpha1", Resource: "egresspolicies"},
	{Group: "networking.istio.io", Version: "v1", Resource: "serviceentries"},
	{Group: "networking.istio.io", Version: "v1", Resource: "virtualservices"},
	{Group: "networking.istio.io", Version: "v1", Resource: "destinationrules"},
	{Group: "networking.istio.io", Version: "v1", Resource: "gateways"},
	{Group: "networking.istio.io", Version: "v1", Resource: "sidecars"},
	{Group: "gateway.networking.k8s.io", Version: "v1", Resource: "httproutes"},
	{Group: "gateway.networking.k8s.io", Version: "v1", Resource: "grpcroutes"},
}

// definitions and guards are those by which the API server itself answers.
var (
	definitions = []schema.GroupVersionResource{{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}}
	guards      = []schema.GroupVersionResource{
		{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingadmissionpolicies"},
		{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingadmissionpolicybindings"},
	}
)

// judged are those that policies may judge besides: read where what is stored is judged again.
var judged = []schema.GroupVersionResource{
	{Group: "networking.istio.io", Version: "v1alpha3", Resource: "envoyfilters"},
	{Group: "networking.istio.io", Version: "v1beta1", Resource: "proxyconfigs"},
	{Group: "networking.istio.io", Version: "v1", Resource: "workloadentries"},
	{Group: "networking.istio.io", Version: "v1", Resource: "workloadgroups"},
	{Group: "extensions.istio.io", Version: "v1alpha1", Resource: "wasmplugins"},
	{Group: "extensions.istio.io", Version: "v1alpha1", Resource: "trafficextensions"},
	// In the first of these versions that a cluster has.
	{Group: "gateway.networking.k8s.io", Version: "v1", Resource: "tcproutes"},
	{Group: "gateway.networking.k8s.io", Version: "v1alpha2", Resource: "tcproutes"},
	{Group: "gateway.networking.k8s.io", Version: "v1", Resource: "tlsroutes"},
	{Group: "gateway.networking.k8s.io", Version: "v1alpha3", Resource: "tlsroutes"},
	{Group: "gateway.networking.k8s.io", Version: "v1alpha2", Resource: "tlsroutes"},
}

// isLive says whether a cluster is named.
func (i *inputs) isLive() bool { return i.kubeconfig+i.context != "" }

// rest returns how the cluster is reached that is named.
func (i *inputs) rest() (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = i.kubeconfig
	out, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: i.context}).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	return out, nil
}

// client returns what asks the cluster that is named for objects of any kind.
func (i *inputs) client() (*rest.Config, dynamic.Interface, error) {
	config, err := i.rest()
	if err != nil {
		return nil, nil, err
	}
	out, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, nil, fmt.Errorf("kubeconfig: %w", err)
	}
	return config, out, nil
}

// live reads what a cluster holds, and of more resources, where one is named.
func (i *inputs) live(ctx context.Context, more ...schema.GroupVersionResource) ([]manifest.Object, error) {
	if !i.isLive() {
		return nil, nil
	}
	config, client, err := i.client()
	if err != nil {
		return nil, err
	}
	out, err := list(ctx, client, config.Host, slices.Concat(read, more))
	if err != nil {
		return nil, err
	}
	i.rights = rights{client}
	itself, err := i.itself(ctx, client, config.Host)
	return append(out, itself...), err
}

// itself reads by what a cluster's API server itself answers, as far as the cluster lets it: developers commonly may not read what is the
// whole cluster's, and then what this program comes with counts.
func (i *inputs) itself(ctx context.Context, client dynamic.Interface, name string) (out []manifest.Object, err error) {
	kinds, err := list(ctx, client, name, definitions)
	if forbidden(err) {
		i.notes = append(i.notes, fmt.Sprintf("CRDs of cluster %s may not be read, so kinds are those that egressctl comes with.", name))
	} else if err != nil {
		return nil, err
	}
	if !i.guarded {
		return kinds, nil
	}
	policies, err := list(ctx, client, name, guards)
	if forbidden(err) {
		i.notes = append(i.notes, fmt.Sprintf("guards of cluster %s may not be read, so they are what the chart installs.", name))
		return kinds, nil
	}
	i.unguarded = err == nil
	return append(kinds, policies...), err
}

// forbidden says whether an error is nothing but that the cluster does not let somebody read.
func forbidden(err error) bool {
	joined, is := err.(interface{ Unwrap() []error })
	return is && !slices.ContainsFunc(joined.Unwrap(), func(err error) bool { return !apierrors.IsForbidden(err) })
}

// list reads the objects of a cluster. Kinds that it does not have it has none of; the error names each that cannot be read.
func list(ctx context.Context, client dynamic.Interface, name string, resources []schema.GroupVersionResource) (out []manifest.Object, err error) {
	var errs []error
	known := map[schema.GroupResource]bool{}
	for _, resource := range resources {
		if known[resource.GroupResource()] {
			continue
		}
		pages := pager.New(func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			return client.Resource(resource).List(ctx, options)
		})
		err := pages.EachListItem(ctx, metav1.ListOptions{}, func(object runtime.Object) error {
			out = append(out, manifest.Object{Unstructured: object.(*unstructured.Unstructured), File: name})
			return nil
		})
		known[resource.GroupResource()] = err == nil
		if err != nil && !apierrors.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("cluster %s: %s cannot be read: %w", name, resource.Resource, err))
		}
	}
	return out, errors.Join(errs...)
}
