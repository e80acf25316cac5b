// Package render says what a cluster would hold after objects were applied to it: each in the form in which the webhook has
// it stored, and beside it what the controllers make of it. It needs no cluster.
package render

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/registry"
	"github.com/egress-governor/egress-governor/internal/review"
)

// Cluster is one that holds what was applied to it. It is not safe for concurrent use.
type Cluster struct {
	mesh     *egress.Mesh
	index    *registry.Registry
	reviewer *review.Reviewer
	objects  map[key]*unstructured.Unstructured
	// time is when the last object was made; each is a second younger than the one before.
	time time.Time
	// now is when objects are decided on, user who asks.
	now  time.Time
	user review.User
	// admission answers beside the webhook, nil for nobody.
	admission Admission
	// rehearsing says that nothing is stored; rehearsed is what would have been last.
	rehearsing bool
	rehearsed  *unstructured.Unstructured
}

// Admission is what the API server itself says to an object that is to be stored, in the place of an old one or of none: after the
// webhook rewrote it, and before the webhook judges it. The error is its no.
type Admission func(ctx context.Context, object, old *unstructured.Unstructured) error

var namespaceKind = schema.GroupKind{Kind: "Namespace"}

// key names an object.
type key struct {
	schema.GroupKind
	types.NamespacedName
}

func keyOf(object *unstructured.Unstructured) key {
	return key{object.GroupVersionKind().GroupKind(), types.NamespacedName{Namespace: object.GetNamespace(), Name: object.GetName()}}
}

// New returns a cluster of a mesh, at a time, that holds nothing but the Gateway objects of its gateways; policies evaluate what
// is applied.
func New(mesh *egress.Mesh, policies review.Evaluator, at time.Time) (*Cluster, error) {
	index := registry.New(mesh)
	for _, gw := range mesh.Gateways {
		objects, _ := index.GatewayObjects(gw)
		for _, object := range objects {
			made, err := untyped(object)
			if err != nil {
				return nil, err
			}
			if err := index.Put(made); err != nil {
				return nil, err
			}
		}
	}
	return &Cluster{
		mesh: mesh, index: index, reviewer: &review.Reviewer{Mesh: mesh, View: index, Policies: policies},
		objects: map[key]*unstructured.Unstructured{}, time: at, now: at,
	}, nil
}

// SetDNSCapture says whether sidecars capture DNS.
func (c *Cluster) SetDNSCapture(on bool) { c.index.SetDNSCapture(on) }

// SetUser says who applies objects.
func (c *Cluster) SetUser(user review.User) { c.user = user }

// SetTime says when objects are applied.
func (c *Cluster) SetTime(at time.Time) {
	if c.now = at; at.After(c.time) {
		c.time = at
	}
}

// Rehearse calls a function while nothing is stored that is applied, and returns what would have been last; nil for nothing.
func (c *Cluster) Rehearse(applies func()) *unstructured.Unstructured {
	before := c.rehearsing
	c.rehearsing, c.rehearsed = true, nil
	defer func() { c.rehearsing = before }()
	applies()
	return c.rehearsed
}

// Rehearsing says whether nothing is stored that is applied.
func (c *Cluster) Rehearsing() bool { return c.rehearsing }

// SetAdmission says what the API server itself answers.
func (c *Cluster) SetAdmission(admission Admission) { c.admission = admission }

// Get returns an object of this name as it is stored, nil for none.
func (c *Cluster) Get(like *unstructured.Unstructured) *unstructured.Unstructured {
	return c.objects[keyOf(like)]
}

// Intent returns a stored object as its author wrote it. The error is review.Refusals where that cannot be told.
func (c *Cluster) Intent(object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	namespace, governed := c.governed(object)
	if !governed {
		return object.DeepCopy(), nil
	}
	return c.reviewer.Intent(review.Request{Operation: review.Audit, Object: object, Name: object.GetName(), Time: c.now, Namespace: namespace})
}

// Adopt is Apply of an object that was stored before anybody was asked, as if it were made only now. It keeps its age.
func (c *Cluster) Adopt(ctx context.Context, object *unstructured.Unstructured) (*review.Outcome, error) {
	namespace, governed := c.governed(object)
	if !governed {
		return nil, c.Store(object)
	}
	return c.decide(ctx, review.Request{
		Operation: review.Create, Object: object, Name: object.GetName(), Time: c.now, Namespace: namespace, User: c.user,
	})
}

// Apply stores an object as the API server would that asks the webhook: it is created, or takes the place of the one of its
// name. Without a verdict of Allowed the cluster stays as it is. Objects of kinds and namespaces that nobody governs are
// stored as they are, with a nil outcome. The error is that of an object that cannot be evaluated, or of admission.
func (c *Cluster) Apply(ctx context.Context, object *unstructured.Unstructured) (*review.Outcome, error) {
	given := object.GetName()
	object = c.Made(object)
	namespace, governed := c.governed(object)
	if !governed {
		return nil, c.admit(ctx, object)
	}
	request := review.Request{
		Operation: review.Create, Object: object, Name: given, Time: c.now, Namespace: namespace, User: c.user,
	}
	if old := c.objects[keyOf(object)]; old != nil {
		request.Operation, request.Old = review.Update, old
	}
	return c.decide(ctx, request)
}

// decide stores what is asked for where that is allowed.
func (c *Cluster) decide(ctx context.Context, request review.Request) (*review.Outcome, error) {
	if review.Finalizing(request.Object, request.Old) {
		if err := c.admitted(ctx, request.Object); err != nil {
			return nil, err
		}
		return &review.Outcome{Verdict: review.Allowed}, c.Keep(request.Object)
	}
	stored, err := c.reviewer.Rewrite(request)
	if err == nil {
		request.Object = stored
		if err := c.admitted(ctx, stored); err != nil {
			return nil, err
		}
	}
	// What has no stored form is refused by the review as well, with everything else that is wrong.
	outcome, err := c.reviewer.Review(ctx, request)
	if err != nil || outcome.Verdict != review.Allowed {
		return outcome, err
	}
	return outcome, c.Keep(request.Object)
}

// Admit stores an object about which no webhook is asked, in its form. The error is that of admission.
func (c *Cluster) Admit(ctx context.Context, object *unstructured.Unstructured) error {
	return c.admit(ctx, c.Made(object))
}

func (c *Cluster) admit(ctx context.Context, object *unstructured.Unstructured) error {
	if err := c.admitted(ctx, object); err != nil {
		return err
	}
	return c.Keep(object)
}

// Keep is Store of what was applied: it is not stored where that is rehearsed.
func (c *Cluster) Keep(object *unstructured.Unstructured) error {
	if c.rehearsing {
		c.rehearsed = object
		return nil
	}
	return c.Store(object)
}

func (c *Cluster) admitted(ctx context.Context, object *unstructured.Unstructured) error {
	if c.admission == nil {
		return nil
	}
	return c.admission(ctx, object, c.objects[keyOf(object)])
}

// Made gives an object what the API server would: a name where it asks for one, and its age, which decides between entries of one host.
func (c *Cluster) Made(object *unstructured.Unstructured) *unstructured.Unstructured {
	object = object.DeepCopy()
	if object.GetName() == "" {
		object.SetName(fmt.Sprintf("%s%05d", object.GetGenerateName(), len(c.objects)))
	}
	if old := c.objects[keyOf(object)]; old != nil {
		object.SetCreationTimestamp(old.GetCreationTimestamp())
		if object.GetUID() == "" {
			object.SetUID(old.GetUID())
		}
		if deleted := old.GetDeletionTimestamp(); deleted != nil { // nobody takes that back
			object.SetDeletionTimestamp(deleted)
			object.SetDeletionGracePeriodSeconds(old.GetDeletionGracePeriodSeconds())
		}
		return object
	}
	c.time = c.time.Add(time.Second)
	object.SetCreationTimestamp(metav1.NewTime(c.time))
	object.SetUID(types.UID(object.GetKind() + "/" + object.GetNamespace() + "/" + object.GetName()))
	return object
}

// governed returns what is known of an object's namespace, and whether the API server asks the webhook about it.
func (c *Cluster) governed(object *unstructured.Unstructured) (out review.Namespace, governed bool) {
	resource, known := review.ResourceOf(object.GetKind())
	if !known || object.GroupVersionKind().Group != resource.Group {
		return out, false
	}
	namespaces := c.index.Governed()
	i, governed := namespaces.Index(object.GetNamespace())
	if !governed {
		return out, false
	}
	out.Name, out.Labels = namespaces.At(i)
	if stored := c.objects[key{namespaceKind, types.NamespacedName{Name: out.Name}}]; stored != nil {
		out.Annotations = stored.GetAnnotations()
	}
	return out, true
}

// Store stores an object as it is, as one was that is older than the webhook. The error is that of an object that is not of
// its kind.
func (c *Cluster) Store(object *unstructured.Unstructured) error {
	if object.GetUID() == "" {
		object = c.Made(object)
	}
	c.objects[keyOf(object)] = object
	return c.index.Put(object)
}

// Delete removes an object.
func (c *Cluster) Delete(object *unstructured.Unstructured) {
	delete(c.objects, keyOf(object))
	c.index.Remove(object)
}

// settle has the stored rules and routes in the form that the entries ask for which came after them.
func (c *Cluster) settle() error {
	for _, name := range c.names() {
		var form registry.Form
		switch name.Kind {
		case "DestinationRule":
			form = c.index.RuleForm(name.NamespacedName)
		case "VirtualService":
			form = c.index.RouteForm(name.NamespacedName)
		}
		if _, governed := c.governed(c.objects[name]); form == nil || !governed {
			continue
		}
		// What cannot be rewritten is its author's to mend.
		if want, err := form(c.objects[name]); err == nil {
			if err := c.Store(want); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *Cluster) names() []key {
	return slices.SortedFunc(maps.Keys(c.objects), func(a, b key) int {
		return cmp.Or(c.objects[a].GetCreationTimestamp().Compare(c.objects[b].GetCreationTimestamp().Time),
			cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
}
