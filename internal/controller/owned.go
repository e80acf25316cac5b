package controller

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"

	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/egress-governor/egress-governor/internal/hop"
)

// owned keeps stored objects of ours equal to what they should be, of whatever kind.
type owned struct {
	// stored has what slim keeps of every object with our label, live is the same past any cache and label.
	stored, live client.Reader
	writer       client.Client
}

// digestKey is where a slim object has the digest of its content.
const digestKey = "digest"

// slim keeps of an object of ours its metadata and a digest of its content: all that it is compared by.
func slim(obj any) (any, error) {
	object, ok := obj.(*unstructured.Unstructured)
	if !ok {
		return obj, nil
	}
	if _, done := object.Object[digestKey]; done {
		return object, nil
	}
	sum, err := digest(object)
	if err != nil {
		return nil, err
	}
	object.SetManagedFields(nil)
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": object.GetAPIVersion(), "kind": object.GetKind(), "metadata": object.Object["metadata"], digestKey: sum,
	}}, nil
}

// digest is equal for two objects that say the same, whoever they are and whatever is said of them in their status.
func digest(object *unstructured.Unstructured) (string, error) {
	content := maps.Clone(object.Object)
	for _, key := range []string{"apiVersion", "kind", "metadata", "status"} {
		delete(content, key)
	}
	raw, err := json.Marshal(content)
	if err != nil {
		return "", fmt.Errorf("digest of %s %s: %w", object.GetKind(), client.ObjectKeyFromObject(object), err)
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:]), nil
}

// whole returns a typed object in the form in which it is stored.
func (o *owned) whole(object hop.Object) (*unstructured.Unstructured, error) {
	kind, err := apiutil.GVKForObject(object, o.writer.Scheme())
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(object)
	if err != nil {
		return nil, fmt.Errorf("encode %s %s: %w", kind.Kind, object.GetName(), err)
	}
	out := &unstructured.Unstructured{Object: map[string]any{}}
	if err := utiljson.Unmarshal(raw, &out.Object); err != nil {
		return nil, fmt.Errorf("encode %s %s: %w", kind.Kind, object.GetName(), err)
	}
	out.SetGroupVersionKind(kind)
	unstructured.RemoveNestedField(out.Object, "status")
	unstructured.RemoveNestedField(out.Object, "metadata", "creationTimestamp")
	return out, nil
}

// ensure makes the stored object equal to want in everything we say of it, and writes nothing when it is. What others
// added to its metadata stays.
func (o *owned) ensure(ctx context.Context, object hop.Object) error {
	want, err := o.whole(object)
	if err != nil {
		return err
	}
	have := empty(want.GroupVersionKind())
	err = o.stored.Get(ctx, client.ObjectKeyFromObject(want), have)
	if apierrors.IsNotFound(err) {
		if err = o.writer.Create(ctx, want.DeepCopy()); err == nil {
			tell(ctx, "Created", want)
			return nil
		}
		if apierrors.IsAlreadyExists(err) {
			have, err = o.hidden(ctx, want)
		}
	}
	if err != nil {
		return err
	}
	if same, err := upToDate(have, want); err != nil || same {
		return err
	}
	want.Object["metadata"] = merged(have, want)
	tell(ctx, "Repaired", want)
	return o.writer.Update(ctx, want)
}

// hidden returns an object that is stored and that the cache does not know: because the cache lags, or because the
// object is not ours.
func (o *owned) hidden(ctx context.Context, want *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	have := empty(want.GroupVersionKind())
	if err := o.live.Get(ctx, client.ObjectKeyFromObject(want), have); err != nil {
		return nil, err
	}
	if have.GetLabels()[hop.ManagedByLabel] != hop.Manager {
		return nil, fmt.Errorf("%s %s exists without the label %s=%s; it is not ours to change",
			want.GetKind(), client.ObjectKeyFromObject(want), hop.ManagedByLabel, hop.Manager)
	}
	slimmed, err := slim(have)
	if err != nil {
		return nil, err
	}
	return slimmed.(*unstructured.Unstructured), nil
}

// remove deletes an object that the cache knows as ours.
func (o *owned) remove(ctx context.Context, object *unstructured.Unstructured) error {
	tell(ctx, "Removed", object)
	return client.IgnoreNotFound(o.writer.Delete(ctx, object))
}

func upToDate(have, want *unstructured.Unstructured) (bool, error) {
	sum, err := digest(want)
	if err != nil {
		return false, err
	}
	return have.Object[digestKey] == sum && holds(have.GetLabels(), want.GetLabels()) && holds(have.GetAnnotations(), want.GetAnnotations()), nil
}

// merged is the metadata of have with the labels and annotations of want.
func merged(have, want *unstructured.Unstructured) any {
	out := have.DeepCopy()
	out.SetLabels(union(have.GetLabels(), want.GetLabels()))
	out.SetAnnotations(union(have.GetAnnotations(), want.GetAnnotations()))
	return out.Object["metadata"]
}

func holds(have, want map[string]string) bool {
	for key, value := range want {
		if have[key] != value {
			return false
		}
	}
	return true
}

func union(have, want map[string]string) map[string]string {
	out := map[string]string{}
	maps.Copy(out, have)
	maps.Copy(out, want)
	return out
}

func empty(kind schema.GroupVersionKind) *unstructured.Unstructured {
	out := &unstructured.Unstructured{}
	out.SetGroupVersionKind(kind)
	return out
}

// cacheOf is a cache beside the manager's own, which runs it.
func cacheOf(mgr ctrl.Manager, options cache.Options) (cache.Cache, error) {
	options.HTTPClient, options.Scheme, options.Mapper = mgr.GetHTTPClient(), mgr.GetScheme(), mgr.GetRESTMapper()
	out, err := cache.New(mgr.GetConfig(), options)
	if err != nil {
		return nil, err
	}
	return out, mgr.Add(out)
}

// emptyList is a list of objects of a kind.
func emptyList(kind schema.GroupVersionKind) *unstructured.UnstructuredList {
	out := &unstructured.UnstructuredList{}
	out.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
	return out
}

// istio is a kind of Istio's networking API.
func istio(kind string) schema.GroupVersionKind {
	return networkingv1.SchemeGroupVersion.WithKind(kind)
}

func tell(ctx context.Context, done string, object *unstructured.Unstructured) {
	log.FromContext(ctx).Info(done, "kind", object.GetKind(), "object", client.ObjectKeyFromObject(object))
}
