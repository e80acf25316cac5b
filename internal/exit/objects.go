package exit

import (
	"context"
	"fmt"
	"maps"

	"google.golang.org/protobuf/proto"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/egress-governor/egress-governor/internal/hop"
)

// ensure makes the stored object equal to want in everything we say of it, and writes nothing when it is.
func (r *Reconciler) ensure(ctx context.Context, want client.Object) error {
	have := want.DeepCopyObject().(client.Object)
	err := r.Exits.Get(ctx, client.ObjectKeyFromObject(want), have)
	if apierrors.IsNotFound(err) {
		err = r.Exits.Create(ctx, want)
		if apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("%T %s/%s exists without the label %s=%s; it is not ours to change: %w",
				want, want.GetNamespace(), want.GetName(), hop.ManagedByLabel, hop.Manager, err)
		}
		if err == nil {
			log.FromContext(ctx).Info("Created", "object", client.ObjectKeyFromObject(want), "type", fmt.Sprintf("%T", want))
		}
		return err
	}
	if err != nil || upToDate(have, want) {
		return err
	}
	want.SetResourceVersion(have.GetResourceVersion())
	want.SetLabels(merged(have.GetLabels(), want.GetLabels()))
	want.SetAnnotations(merged(have.GetAnnotations(), want.GetAnnotations()))
	log.FromContext(ctx).Info("Repaired", "object", client.ObjectKeyFromObject(want), "type", fmt.Sprintf("%T", want))
	return r.Exits.Update(ctx, want)
}

// delete removes an object that the cache knows as ours.
func (r *Reconciler) delete(ctx context.Context, object client.Object) error {
	if err := r.Exits.Get(ctx, client.ObjectKeyFromObject(object), object); err != nil {
		return client.IgnoreNotFound(err)
	}
	log.FromContext(ctx).Info("Removed", "object", client.ObjectKeyFromObject(object), "type", fmt.Sprintf("%T", object))
	return client.IgnoreNotFound(r.Exits.Delete(ctx, object))
}

func upToDate(have, want client.Object) bool {
	return holds(have.GetLabels(), want.GetLabels()) && holds(have.GetAnnotations(), want.GetAnnotations()) &&
		proto.Equal(spec(have), spec(want))
}

func spec(object client.Object) proto.Message {
	switch o := object.(type) {
	case *networkingv1.Gateway:
		return &o.Spec
	case *networkingv1.ServiceEntry:
		return &o.Spec
	case *networkingv1.VirtualService:
		return &o.Spec
	}
	return nil
}

func holds(have, want map[string]string) bool {
	for key, value := range want {
		if have[key] != value {
			return false
		}
	}
	return true
}

func merged(have, want map[string]string) map[string]string {
	out := maps.Clone(have)
	if out == nil {
		out = map[string]string{}
	}
	maps.Copy(out, want)
	return out
}
