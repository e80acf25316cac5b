package audit

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/internal/review"
)

// Stand is a cluster that stands in for the real one: in it what is observed is governed.
type Stand interface {
	// Store takes an object for stored, as it is.
	Store(object *unstructured.Unstructured) error
	// Adopt decides on a stored object as if it were made now, with a nil outcome where nobody governs it.
	Adopt(ctx context.Context, object *unstructured.Unstructured) (*review.Outcome, error)
}

// rehearsal is what becomes of observed objects if they are governed. A nil one takes nothing.
type rehearsal struct {
	Stand
	observed map[string]bool
	// waiting are the objects of observed namespaces, places where each is among them.
	waiting []*unstructured.Unstructured
	places  map[objectKey]int
}

// rehearse returns a rehearsal with what surrounds the audited kinds, nil where no namespace is observed.
func (a *Auditor) rehearse(ctx context.Context) (*rehearsal, error) {
	if a.Stand == nil {
		return nil, nil
	}
	observed, err := a.observed(ctx)
	if err != nil || len(observed) == 0 {
		return nil, err
	}
	stand, err := a.Stand(a.Now())
	if err != nil {
		return nil, err
	}
	out := &rehearsal{Stand: stand, observed: observed}
	return out, a.surround(ctx, out)
}

// observed returns the namespaces that are observed.
func (a *Auditor) observed(ctx context.Context) (map[string]bool, error) {
	var namespaces corev1.NamespaceList
	if err := a.Cached.List(ctx, &namespaces); err != nil {
		return nil, err
	}
	out := map[string]bool{}
	for _, namespace := range namespaces.Items {
		if a.Mesh.Observes(labels.Set(namespace.Labels)) {
			out[namespace.Name] = true
		}
	}
	return out, nil
}

// servicesAtOnce are few, since a Service may be of a megabyte.
const servicesAtOnce = 20

// surround takes in what the decision asks of the rest of the cluster. The cache has no Services as they are stored.
func (a *Auditor) surround(ctx context.Context, of *rehearsal) error {
	for kind, list := range map[string]client.ObjectList{
		"Namespace": &corev1.NamespaceList{}, "Pod": &corev1.PodList{}, "ServiceAccount": &corev1.ServiceAccountList{},
	} {
		if err := a.Cached.List(ctx, list); err != nil {
			return err
		}
		if err := of.store(kind, list); err != nil {
			return err
		}
	}
	for at := newPlace(); !at.end; {
		services, err := a.page(ctx, corev1.SchemeGroupVersion.WithKind("Service"), at, servicesAtOnce)
		if err != nil {
			return err
		}
		for i := range services.Items {
			if err := of.Store(&services.Items[i]); err != nil {
				return fmt.Errorf("a Service: %w", err)
			}
		}
		at.turned(services)
	}
	return nil
}

// store takes in the objects of a list.
func (r *rehearsal) store(kind string, list client.ObjectList) error {
	err := meta.EachListItem(list, func(item runtime.Object) error {
		fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(item)
		if err != nil {
			return err
		}
		object := &unstructured.Unstructured{Object: fields}
		object.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: kind})
		return r.Store(object)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", kind, err)
	}
	return nil
}

// take takes in an object of the audited kinds, as it was read last; those of observed namespaces come when all others are there.
func (r *rehearsal) take(object *unstructured.Unstructured) error {
	switch {
	case r == nil:
		return nil
	case r.observed[object.GetNamespace()]:
		r.wait(object)
		return nil
	}
	return r.Store(object)
}

// wait takes in an object of an observed namespace, in the place of what it was.
func (r *rehearsal) wait(object *unstructured.Unstructured) {
	key := keyOf(object)
	if place, known := r.places[key]; known {
		r.waiting[place] = object
		return
	}
	if r.places == nil {
		r.places = map[objectKey]int{}
	}
	r.places[key] = len(r.waiting)
	r.waiting = append(r.waiting, object)
}

// observe says what would become of the observed objects: entries before what leads to them, the oldest first.
func (a *Auditor) observe(ctx context.Context, of *rehearsal) error {
	if of == nil {
		a.noted(nil, nil)
		return nil
	}
	slices.SortStableFunc(of.waiting, func(x, y *unstructured.Unstructured) int {
		return cmp.Or(turn(x)-turn(y), x.GetCreationTimestamp().Compare(y.GetCreationTimestamp().Time),
			cmp.Compare(x.GetNamespace(), y.GetNamespace()), cmp.Compare(x.GetName(), y.GetName()))
	})
	found, verdicts := map[objectKey]judged{}, map[review.Verdict]int{}
	for i, object := range of.waiting {
		if i%pageSize == 0 {
			a.between(ctx)
		}
		if err := a.limiter.Wait(ctx); err != nil {
			return err
		}
		key := keyOf(object)
		outcome, err := of.Adopt(ctx, object)
		if err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "Observed object cannot be judged", "kind", key.Kind, "namespace", key.Namespace, "name", key.Name)
			continue
		}
		if outcome == nil {
			continue
		}
		verdicts[outcome.Verdict]++
		if len(outcome.Findings)+len(outcome.Changes) > 0 {
			found[key] = judged{uid: object.GetUID(), apiVersion: object.GetAPIVersion(), findings: outcome.Findings, observed: true, changes: outcome.Changes}
		}
	}
	a.noted(found, verdicts)
	return nil
}

// turn orders kinds as their objects need each other.
func turn(of *unstructured.Unstructured) int { return slices.Index(kinds, of.GetKind()) }

// noted takes in what observed objects would come to.
func (a *Auditor) noted(found map[objectKey]judged, verdicts map[review.Verdict]int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	maps.DeleteFunc(a.found, func(_ objectKey, of judged) bool { return of.observed })
	maps.Copy(a.found, found)
	a.metrics.observe(verdicts)
}

// outdated says whether what is observed is to be looked at again: something was written since, and looking took no more than a
// tenth of the time.
func (a *Auditor) outdated(ctx context.Context) bool {
	a.mu.Lock()
	stale := a.stale && a.Now().Sub(a.ended) >= 9*a.took
	a.mu.Unlock()
	if !stale {
		return false
	}
	observed, err := a.observed(ctx)
	return err == nil && len(observed) > 0
}
