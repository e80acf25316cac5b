package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/adopt"
	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/internal/manifest"
)

// unseal writes objects as their authors wrote them, has proxies know of it, and then lets the exits go.
func (h *hand) unseal(cmd *cobra.Command, plan []adopt.Return, crossings []adopt.Crossing, controllers bool) error {
	ctx := cmd.Context()
	if err := h.before(cmd, plan, crossings, controllers); err != nil {
		return fmt.Errorf("%w\nnothing went back; run this again", err)
	}
	entries := slices.DeleteFunc(slices.Clone(plan), func(of adopt.Return) bool { return of.GetKind() != "ServiceEntry" })
	steps := len(plan)
	if controllers {
		steps += len(entries)
	}
	h.bar = newProgress(cmd.ErrOrStderr(), steps)
	defer h.bar.end()
	for of := range together(plan) {
		if err := h.goBack(ctx, of, controllers); err != nil {
			return fmt.Errorf("%w\nwhat went back stays, and its exit is kept; run this again to go on", err)
		}
		for range of {
			h.bar.step()
		}
	}
	if err := h.uncross(ctx, adopt.Namespaces(plan)...); err != nil {
		return err
	}
	if !controllers {
		h.bar.end()
		fmt.Fprintln(cmd.ErrOrStderr(), "Nobody keeps exits any more, so they stay. Once nothing is sealed, delete those of each egress gateway's namespace by the label app.kubernetes.io/managed-by=egress-governor.")
		return nil
	}
	if err := pause(ctx, h.settle); err != nil {
		return err
	}
	for _, of := range entries {
		if err := h.release(ctx, of.Unstructured); err != nil {
			return err
		}
		h.bar.step()
	}
	return nil
}

// together returns what of a plan goes back at once.
func together(plan []adopt.Return) iter.Seq[[]adopt.Return] {
	return func(yield func([]adopt.Return) bool) {
		for first, next := 0, 0; first < len(plan); first = next {
			next = first + 1
			for next < len(plan) && plan[next-1].Joined {
				next++
			}
			if !yield(plan[first:next]) {
				return
			}
		}
	}
}

// unruled has the client rules gone by which calls come to gateways by mutual TLS while the entries are sealed: as long as these are held, the
// gateways take what comes without.
func (h *hand) unruled(cmd *cobra.Command, plan []adopt.Return) error {
	ctx := cmd.Context()
	before := slices.DeleteFunc(slices.Clone(plan), func(of adopt.Return) bool { return len(of.Rules) == 0 })
	for _, of := range before {
		err := h.write(ctx, of.Unstructured, func(now *unstructured.Unstructured) error {
			if hop.Held(now) {
				return nil
			}
			_, err := h.patch(ctx, now, holding)
			return err
		})
		if err != nil {
			return err
		}
	}
	left, err := h.rulesLeft(ctx, before)
	if left != "" && err == nil {
		fmt.Fprintf(cmd.ErrOrStderr(), "Note: %s, by which clients call their egress gateway, is there after %s; calls by TLS and TCP may fail for the moment in which its entry goes back before it\n", left, h.timeout)
	}
	return err
}

// dropRules deletes the client rules of an entry that went back, which nobody keeps any more.
func (h *hand) dropRules(ctx context.Context, of adopt.Return) error {
	for _, name := range of.Beside {
		rules := h.client.Resource(resources["DestinationRule"]).Namespace(of.GetNamespace())
		rule, err := rules.Get(ctx, name, metav1.GetOptions{})
		if err == nil && hop.IsClientRule(rule) {
			err = rules.Delete(ctx, name, *metav1.NewPreconditionDeleteOptions(string(rule.GetUID())))
		}
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("DestinationRule %s/%s, by which clients called a gateway: %w; delete it, or TLS and TCP of its host fail", of.GetNamespace(), name, err)
		}
	}
	return nil
}

// rulesLeft waits until the client rules of entries are gone, and returns one that does not go.
func (h *hand) rulesLeft(ctx context.Context, of []adopt.Return) (left string, err error) {
	_, err = h.poll(ctx, func() (bool, error) {
		for _, each := range of {
			for _, name := range each.Rules {
				_, err := h.client.Resource(resources["DestinationRule"]).Namespace(each.GetNamespace()).Get(ctx, name, metav1.GetOptions{})
				if !apierrors.IsNotFound(err) {
					left = fmt.Sprintf("DestinationRule %s/%s", each.GetNamespace(), name)
					return false, err
				}
			}
		}
		left = ""
		return true, nil
	})
	return left, err
}

// goBack writes objects as their authors wrote them: the first in its turn, and the others in the next requests after it, since istiod waits for a
// moment in which nothing changes, and tells proxies of all in one push. Their turns are taken afterwards.
func (h *hand) goBack(ctx context.Context, of []adopt.Return, controllers bool) error {
	if err := h.limiter.Wait(ctx); err != nil {
		return err
	}
	now, err := h.read(ctx, of)
	if err != nil {
		return err
	}
	written, once := make([]*unstructured.Unstructured, len(of)), ctx
	for i, each := range of {
		if each.Intent != nil {
			if written[i], err = h.back(once, each, now[i], controllers); err != nil {
				return err
			}
		}
		if !controllers {
			if err := h.dropRules(once, each); err != nil {
				return err
			}
		}
		// Once the first is written, no other is left behind.
		once = context.WithoutCancel(ctx)
	}
	for i, object := range written {
		if object == nil {
			continue
		}
		if err := h.giveBack(once, object, now[i].GetManagedFields()); err != nil {
			return fmt.Errorf("%s: %w", manifest.Name(object), err)
		}
	}
	return h.turns(ctx, len(of)-1)
}

// read reads planned objects as they are stored now.
func (h *hand) read(ctx context.Context, of []adopt.Return) (out []*unstructured.Unstructured, err error) {
	for _, each := range of {
		now, err := h.fresh(ctx, each.Unstructured)
		if err == nil && !maps.Equal(now.GetLabels(), each.GetLabels()) {
			err = errors.New("somebody changed its labels since the plan was made; run this again")
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", manifest.Name(each.Unstructured), err)
		}
		out = append(out, now)
	}
	return out, nil
}

// back writes an object, as it was read, as its author wrote it, and again while others write it in between. An entry holds its exit, where
// somebody keeps that.
func (h *hand) back(ctx context.Context, of adopt.Return, now *unstructured.Unstructured, controllers bool) (*unstructured.Unstructured, error) {
	for try := 1; ; try++ {
		out, err := h.of(now).Update(ctx, plain(now, of, controllers), metav1.UpdateOptions{FieldManager: "egressctl"})
		switch {
		case err == nil && of.GetKind() == "ServiceEntry" && h.sealed(out):
			return nil, fmt.Errorf("%s: it was sealed again: the API server asks the webhook about it", manifest.Name(out))
		case err == nil:
			return out, nil
		case !apierrors.IsConflict(err), try == tries:
			return nil, fmt.Errorf("%s: %w", manifest.Name(now), err)
		}
		again, err := h.read(ctx, []adopt.Return{of})
		if err != nil {
			return nil, err
		}
		now = again[0]
	}
}

// plain returns an object that is stored as its author wrote it.
func plain(now *unstructured.Unstructured, of adopt.Return, controllers bool) *unstructured.Unstructured {
	out := now.DeepCopy()
	out.Object["spec"] = of.Intent.Object["spec"]
	out.SetLabels(of.Intent.GetLabels())
	annotations := out.GetAnnotations()
	delete(annotations, hop.IntentAnnotation)
	if of.GetKind() == "ServiceEntry" && controllers {
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[hop.ExitAnnotation] = hop.ExitHeld
	}
	out.SetAnnotations(annotations)
	return out
}

// release lets the exit of an entry go that is sealed no more. Whoever sealed it in between has it anyway.
func (h *hand) release(ctx context.Context, entry *unstructured.Unstructured) error {
	for try := 1; ; try++ {
		if err := h.limiter.Wait(ctx); err != nil {
			return err
		}
		now, err := h.of(entry).Get(ctx, entry.GetName(), metav1.GetOptions{})
		if err == nil && hop.Held(now) {
			_, err = h.patch(ctx, now, releasing)
		}
		switch {
		case err == nil, apierrors.IsNotFound(err):
			return nil
		case !apierrors.IsConflict(err), try == tries:
			return fmt.Errorf("%s: %w", manifest.Name(entry), err)
		}
	}
}
