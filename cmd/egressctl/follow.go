package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/egress-governor/egress-governor/internal/adopt"
	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/internal/manifest"
	"github.com/egress-governor/egress-governor/internal/registry"
)

const (
	// atOnce is how soon an object is written again for which the webhook did not know yet of the entry that was written before it.
	atOnce = 5 * time.Millisecond
	// lag is how long that is done, and how long the webhook may refuse it for that.
	lag = 2 * time.Second
	// denied is what the API server says of a refusal by the webhook: no other knows of entries late.
	denied = `egress-governor.io" denied the request`
)

// followers are the stored rules and routes of entries' hosts, in the form that goes with what is stored of these.
type followers struct {
	view *registry.Registry
	// of are the namespaces whose objects are written.
	of map[string]bool
	// last are objects as they were written.
	last map[string]*unstructured.Unstructured
}

func newFollowers(mesh *egress.Mesh, plan *adopt.Plan, stored []manifest.Object) (*followers, error) {
	view, err := adopt.View(mesh, stored)
	if err != nil {
		return nil, err
	}
	out := &followers{view: view, of: map[string]bool{}, last: map[string]*unstructured.Unstructured{}}
	for _, namespace := range plan.Namespaces {
		out.of[namespace.Name] = true
	}
	return out, nil
}

// form returns what an object is to be stored as, nil where it stays as it is.
func (f *followers) form(object *unstructured.Unstructured) registry.Form {
	name := types.NamespacedName{Namespace: object.GetNamespace(), Name: object.GetName()}
	if object.GetKind() == "DestinationRule" {
		return f.view.RuleForm(name)
	}
	return f.view.RouteForm(name)
}

// stands says whether an object, as it is stored, is in its form. What cannot be rewritten is its author's to mend.
func (f *followers) stands(object *unstructured.Unstructured) bool {
	form := f.form(object)
	if form == nil {
		return true
	}
	want, err := form(object)
	return err != nil || equality.Semantic.DeepEqual(want.Object["spec"], object.Object["spec"])
}

// take takes in an object as it was written.
func (f *followers) take(object *unstructured.Unstructured) error {
	f.last[manifest.Name(object)] = object
	return f.view.Put(object)
}

// done says whether an object was written in the form that is still its own.
func (f *followers) done(object *unstructured.Unstructured) bool {
	last := f.last[manifest.Name(object)]
	return last != nil && f.stands(last)
}

// after names what may change its form with an entry: routes before rules. HTTP that a route leads to a TLS port is encrypted by the client's proxy until
// the route leads to the gateway, and at a gateway by Plain that gets through.
func (f *followers) after(entry *unstructured.Unstructured) (out []*unstructured.Unstructured) {
	add := func(kind string, names []types.NamespacedName) {
		slices.SortFunc(names, func(a, b types.NamespacedName) int {
			return slices.Compare([]string{a.Namespace, a.Name}, []string{b.Namespace, b.Name})
		})
		for _, name := range slices.Compact(names) {
			if !f.of[name.Namespace] {
				continue // the controllers write it
			}
			object := &unstructured.Unstructured{Object: map[string]any{"kind": kind}}
			object.SetNamespace(name.Namespace)
			object.SetName(name.Name)
			out = append(out, object)
		}
	}
	var rules, routes []types.NamespacedName
	for _, host := range egress.Hosts(entry) {
		rules = append(rules, f.view.RulesOf(egress.Canonical(host))...)
		routes = append(routes, f.view.LeadingTo(egress.Canonical(host))...)
	}
	add("VirtualService", routes)
	add("DestinationRule", rules)
	return out
}

// beside reads what may change its form with an entry, before that is written: afterwards there is no time to.
func (h *hand) beside(ctx context.Context, entry *unstructured.Unstructured) (out []*unstructured.Unstructured, err error) {
	for _, object := range h.followers.after(entry) {
		now, err := h.reread(ctx, object)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", manifest.Name(object), err)
		}
		if now != nil {
			out = append(out, now)
		}
	}
	return out, nil
}

// follow has the routes and rules beside an entry stored in the form that goes with it, each in the next request after it: istiod waits for
// a moment in which nothing changes, and tells proxies of all in one push. Their turns are taken afterwards.
func (h *hand) follow(ctx context.Context, entry *unstructured.Unstructured, beside []*unstructured.Unstructured) error {
	if err := h.followers.take(entry); err != nil {
		return err
	}
	var written, before []*unstructured.Unstructured
	for _, object := range beside {
		out, from, err := h.formed(ctx, object)
		if err != nil {
			return fmt.Errorf("%s: %w", manifest.Name(object), err)
		}
		if out != nil && out.GetResourceVersion() != from.GetResourceVersion() {
			written, before = append(written, out), append(before, from)
		}
	}
	for i, object := range written {
		if err := h.giveBack(ctx, object, before[i].GetManagedFields()); err != nil {
			return fmt.Errorf("%s: %w", manifest.Name(object), err)
		}
	}
	return h.turns(ctx, len(written))
}

// formed has an object stored in its form by a write that changes nothing of it, again and again until the webhook knows what asks for that.
// Nobody but it says what is stored. The result is what was written, and what that was written over: nil where the object is gone, or stays
// as it is.
func (h *hand) formed(ctx context.Context, object *unstructured.Unstructured) (now, before *unstructured.Unstructured, err error) {
	now, before = object, object
	for began, wait := time.Now(), atOnce; !h.followers.stands(now); {
		out, err := h.patch(ctx, now, nil)
		switch since := time.Since(began); {
		case apierrors.IsNotFound(err):
			return nil, nil, nil
		case apierrors.IsConflict(err) && since <= h.timeout:
			// Whoever wrote it meanwhile owns what he wrote.
			if now, err = h.reread(ctx, now); now == nil || err != nil {
				return nil, nil, err
			}
			before = now
			continue
		case err == nil:
			now = out
			if err := h.followers.take(now); err != nil || h.followers.stands(now) {
				return now, before, err
			}
			if since > h.timeout {
				return nil, nil, fmt.Errorf("after %s it is not in the form that goes with its entry, and calls under it fail", h.timeout)
			}
			if wait = atOnce; since > lag {
				wait = look
			}
		case !strings.Contains(err.Error(), denied), since > lag:
			return nil, nil, err
		default:
			wait = min(2*wait, look)
		}
		if err := pause(ctx, wait); err != nil {
			return nil, nil, err
		}
	}
	return nil, nil, nil
}

// reread takes in an object as it is stored by now, nil for none.
func (h *hand) reread(ctx context.Context, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	out, err := h.of(object).Get(ctx, object.GetName(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return out, h.followers.take(out)
}

// giveBack has the author own again what was rewritten.
func (h *hand) giveBack(ctx context.Context, rewritten *unstructured.Unstructured, before []metav1.ManagedFieldsEntry) error {
	if !hop.GiveBack(rewritten, before) {
		return nil
	}
	_, err := h.of(rewritten).Update(ctx, rewritten, metav1.UpdateOptions{FieldManager: "egressctl"})
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return nil // somebody has written it since
	}
	return err
}

// turns takes those of what was written without waiting for them.
func (h *hand) turns(ctx context.Context, writes int) error {
	for range writes {
		if err := h.limiter.Wait(ctx); err != nil {
			return err
		}
	}
	return nil
}
