package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/egress-governor/egress-governor/internal/manifest"
)

// installation are the resources that are looked at beside those by which objects are decided on.
var installation = []schema.GroupVersionResource{
	{Group: "apps", Version: "v1", Resource: "deployments"},
	{Group: "coordination.k8s.io", Version: "v1", Resource: "leases"},
	{Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"},
	{Group: "networking.istio.io", Version: "v1alpha3", Resource: "envoyfilters"},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "roles"},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "rolebindings"},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterroles"},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterrolebindings"},
}

// read reads each resource by itself: what may not be read of one says nothing of another.
func (c *checking) read(ctx context.Context) {
	known := map[schema.GroupResource]bool{}
	for _, resource := range slices.Concat(read, definitions, admission[:2], guards, installation) {
		if known[resource.GroupResource()] {
			continue
		}
		known[resource.GroupResource()] = true
		objects, err := list(ctx, c.client, c.rest.Host, []schema.GroupVersionResource{resource})
		if err != nil {
			c.out.Unread[resource.GroupResource()] = fmt.Errorf("%s: %w", resource.GroupResource(), unwrapped(err))
		}
		for _, object := range objects {
			c.out.Objects[resource.GroupResource()] = append(c.out.Objects[resource.GroupResource()], object.Unstructured)
		}
	}
}

// unwrapped returns the one error of a list.
func unwrapped(err error) error {
	if joined, is := err.(interface{ Unwrap() []error }); is && len(joined.Unwrap()) == 1 {
		err = joined.Unwrap()[0]
	}
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return err
}

// manifests are all objects of a host, in one order.
func manifests(of map[schema.GroupResource][]*unstructured.Unstructured, host string) (out []manifest.Object) {
	for _, objects := range of {
		for _, object := range objects {
			out = append(out, manifest.Object{Unstructured: object, File: host})
		}
	}
	slices.SortFunc(out, func(a, b manifest.Object) int { return strings.Compare(key(a), key(b)) })
	return out
}

func key(of manifest.Object) string {
	return of.GetAPIVersion() + " " + of.GetKind() + " " + of.GetNamespace() + "/" + of.GetName()
}

// certificate reads the one Secret that is looked at.
func (c *checking) certificate(ctx context.Context) {
	resource := schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
	name := c.out.CertificateSecret()
	if name == "" {
		return
	}
	list, err := c.client.Resource(resource).Namespace(c.out.Release.Namespace).List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + name})
	if err != nil {
		c.out.Unread[resource.GroupResource()] = fmt.Errorf("secrets: %w", err)
		return
	}
	for i := range list.Items {
		c.out.Objects[resource.GroupResource()] = append(c.out.Objects[resource.GroupResource()], &list.Items[i])
	}
}
