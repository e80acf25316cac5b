package controller

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/internal/registry"
)

// owned keeps stored objects of ours equal to what they should be, of whatever kind.
type owned struct {
	// stored has what slim keeps of every object with our label, live is the same past any cache and label.
	stored, live client.Reader
	writer       client.Client
	// expected are the writes that stored does not know of yet; nil where it is not asked.
	expected *expected
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
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": registry.Same(object.GetAPIVersion()), "kind": registry.Same(object.GetKind()), "metadata": slimMetadata(object), digestKey: sum,
	}}, nil
}

// slimMetadata are those by which an object is found, compared and written: of thousands the rest would be the most. What says the
// same is the same.
func slimMetadata(object *unstructured.Unstructured) map[string]any {
	from, _, _ := unstructured.NestedFieldNoCopy(object.Object, "metadata")
	of, _ := from.(map[string]any)
	out := make(map[string]any, 8) // most have no more, and a larger map is twice as large
	for _, key := range kept {
		if value, has := of[key]; has {
			out[key] = value
		}
	}
	if namespace, is := out["namespace"].(string); is {
		out["namespace"] = registry.Same(namespace)
	}
	if labels, is := out["labels"].(map[string]any); is && maps.Equal(labels, onlyOurs) {
		out["labels"] = onlyOurs
	}
	return out
}

// kept are the fields of metadata that a slim object has. An update without the others leaves them as they are.
var kept = []string{"name", "namespace", "uid", "resourceVersion", "creationTimestamp", "labels", "annotations", "ownerReferences", "finalizers"}

// onlyOurs are the labels of an object that has no others, of all of them: nobody changes what he reads of a cache.
var onlyOurs = map[string]any{hop.ManagedByLabel: hop.Manager}

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
	say, err := sayingOf(want)
	if err != nil {
		return err
	}
	of, have := nameOf(want), empty(want.GroupVersionKind())
	err = o.stored.Get(ctx, of.NamespacedName, have)
	if apierrors.IsNotFound(err) {
		if o.expected.has(of, say, "") {
			return nil
		}
		o.expected.begin(of, say, "")
		if err = o.writer.Create(ctx, want); err == nil {
			tell(ctx, "Created", want)
			return nil
		}
		o.expected.drop(of)
		if apierrors.IsAlreadyExists(err) {
			have, err = o.hidden(ctx, want)
		}
	}
	if err != nil || say.saidBy(have) || o.expected.has(of, say, have.GetResourceVersion()) {
		return err
	}
	return o.repair(ctx, have, want, say)
}

// repair writes an object in the place of what is stored.
func (o *owned) repair(ctx context.Context, have, want *unstructured.Unstructured, say said) error {
	want.Object["metadata"] = merged(have, want)
	tell(ctx, "Repaired", want)
	o.expected.begin(nameOf(want), say, have.GetResourceVersion())
	err := o.writer.Update(ctx, want)
	if err != nil {
		o.expected.drop(nameOf(want))
	}
	return err
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

// of returns the stored objects of a kind that are for a host in a namespace.
func (o *owned) of(ctx context.Context, kind schema.GroupVersionKind, namespace, host string) ([]unstructured.Unstructured, error) {
	stored := emptyList(kind)
	err := o.stored.List(ctx, stored, client.InNamespace(namespace), client.MatchingFields{byHost: host})
	return stored.Items, err
}

// drop deletes an object of ours, if it is there and goes.
func (o *owned) drop(ctx context.Context, kind schema.GroupVersionKind, name types.NamespacedName, goes func(*unstructured.Unstructured) bool) error {
	stored := empty(kind)
	o.expected.dropWrite(objectName{kind.GroupKind(), name})
	err := o.stored.Get(ctx, name, stored)
	if err == nil && goes(stored) {
		err = o.remove(ctx, stored)
	}
	return client.IgnoreNotFound(err)
}

// keepOnly takes away what is stored for a host in a namespace and is not wanted, of some kinds, which are in the order of writing, in
// the other; what is for a gateway that the configuration no longer has stays.
func (o *owned) keepOnly(ctx context.Context, mesh *egress.Mesh, of exitKey, wanted map[objectName]bool, kinds ...schema.GroupVersionKind) error {
	o.expected.dropOthers(of.Namespace, of.Host, wanted)
	for _, kind := range slices.Backward(kinds) {
		stored, err := o.of(ctx, kind, of.Namespace, of.Host)
		for i := range stored {
			if object := &stored[i]; !wanted[nameOf(object)] && ofToday(mesh, object) {
				err = errors.Join(err, o.remove(ctx, object))
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// remove deletes an object that the cache knows as ours, once.
func (o *owned) remove(ctx context.Context, object *unstructured.Unstructured) error {
	if o.expected.goes(nameOf(object), object.GetResourceVersion()) {
		return nil
	}
	tell(ctx, "Removed", object)
	err := deleteKnown(ctx, o.writer, object)
	if err != nil {
		o.expected.drop(nameOf(object))
	}
	return err
}

// deleteKnown deletes an object as it is known, and no other that has its name by now: a cache lags.
func deleteKnown(ctx context.Context, from client.Writer, object client.Object) error {
	uid := object.GetUID()
	return client.IgnoreNotFound(from.Delete(ctx, object, client.Preconditions{UID: &uid}))
}

// said is what an object of ours is to say.
type said struct {
	digest              string
	labels, annotations map[string]string
}

func sayingOf(want *unstructured.Unstructured) (said, error) {
	sum, err := digest(want)
	return said{sum, want.GetLabels(), want.GetAnnotations()}, err
}

// saidBy says whether a slim object says it.
func (s said) saidBy(have *unstructured.Unstructured) bool {
	return have.Object[digestKey] == s.digest && holds(have.GetLabels(), s.labels) && holds(have.GetAnnotations(), s.annotations)
}

func (s said) equal(other said) bool {
	return s.digest == other.digest && maps.Equal(s.labels, other.labels) && maps.Equal(s.annotations, other.annotations)
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
	options.HTTPClient, options.Scheme, options.Mapper = mgr.GetHTTPClient(), mgr.GetScheme(), &mapper{RESTMapper: mgr.GetRESTMapper()}
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
