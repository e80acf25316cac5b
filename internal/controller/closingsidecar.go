package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/internal/hop"
)

// sidecar closes a namespace by our Sidecar, or by those that are there.
func (c *Closing) sidecar(ctx context.Context, namespace string) error {
	if !c.mesh.Block {
		return nil
	}
	list := emptyList(sidecarKind)
	if err := c.sidecars.List(ctx, list, client.InNamespace(namespace)); err != nil {
		return fmt.Errorf("sidecars of namespace %s: %w", namespace, err)
	}
	var own, wide *unstructured.Unstructured
	var open []string
	var errs []error
	needed := c.needed(namespace)
	for i := range list.Items {
		stored := &list.Items[i]
		if hop.IsClosing(stored) {
			own = stored
			continue
		}
		if hop.SidecarIsWide(stored) && (wide == nil || older(stored, wide)) {
			wide = stored
		}
		closed, err := c.closed(ctx, stored, needed)
		if errs = append(errs, err); !closed && c.closes(namespace) {
			open = append(open, namespace+"/"+stored.GetName())
		}
	}
	c.setOpen(namespace, open)
	var unwritten error
	// Of two that are wide Istio takes the older one.
	switch stays := wide != nil && (own == nil || older(wide, own) || time.Since(wide.GetCreationTimestamp().Time) > settled); {
	case needed && !stays:
		unwritten = c.objects.ensure(ctx, hop.Sidecar(namespace, c.root))
	case own != nil:
		errs = append(errs, c.objects.remove(ctx, own))
	}
	c.setUnclosed(sidecarKind, namespace, unwritten)
	return errors.Join(append(errs, unwritten)...)
}

// settled is for how long a tenant's Sidecar stands before ours goes: one that comes and goes again takes ours away at no moment. All
// namespaces are looked at again as often.
const settled = interval

func older(a, b *unstructured.Unstructured) bool {
	return a.GetCreationTimestamp().Time.Before(b.GetCreationTimestamp().Time)
}

// needed says whether a namespace is to be closed and the mesh leaves it open, as far as anybody knows.
func (c *Closing) needed(namespace string) bool {
	return c.closes(namespace) && (c.settings == nil || !c.settings.registryOnly())
}

// closed says whether a tenant's Sidecar drops what no entry names. One that leaves it to a mesh which does not is completed.
func (c *Closing) closed(ctx context.Context, stored *unstructured.Unstructured, needed bool) (bool, error) {
	switch {
	case hop.SidecarMode(stored) != "":
		return len(hop.CheckSidecar(stored)) == 0, nil
	case needed:
		return c.complete(ctx, stored)
	}
	return true, nil
}

// complete has a Sidecar, of which only so much is known, drop what it leaves to the mesh, and returns whether it does by
// now.
func (c *Closing) complete(ctx context.Context, stored *unstructured.Unstructured) (closed bool, err error) {
	object := empty(sidecarKind)
	if err := c.objects.live.Get(ctx, client.ObjectKeyFromObject(stored), object); err != nil {
		return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
	}
	out, err := hop.SidecarIntent(object)
	if err == nil {
		err = hop.CloseSidecar(out)
	}
	if err != nil {
		return false, nil //nolint:nilerr // what cannot be completed is its author's to mend
	}
	tell(ctx, "Completed", out)
	err = client.IgnoreNotFound(c.objects.writer.Update(ctx, out))
	if apierrors.IsForbidden(err) || apierrors.IsInvalid(err) {
		return false, nil
	}
	return err == nil, err
}

// everybodys returns the Sidecar by which proxies go whose namespace has none, nil for none.
func (c *Closing) everybodys(ctx context.Context) (out *unstructured.Unstructured, err error) {
	if !c.mesh.Block {
		return nil, nil
	}
	namespace := c.mesh.IstioNamespace
	if c.settings != nil {
		namespace = c.settings.RootNamespace
	}
	list := emptyList(sidecarKind)
	if err := c.objects.live.List(ctx, list, client.InNamespace(namespace)); err != nil {
		return nil, fmt.Errorf("sidecars of Istio's root namespace: %w", err)
	}
	for i := range list.Items {
		if of := &list.Items[i]; hop.SidecarIsWide(of) && (out == nil || older(of, out)) {
			out = of
		}
	}
	return out, nil
}
