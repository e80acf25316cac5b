package main

import (
	"context"
	"errors"
	"fmt"
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
func (h *hand) unseal(cmd *cobra.Command, plan []adopt.Return, controllers bool) error {
	ctx := cmd.Context()
	if controllers {
		if err := h.unruled(cmd, plan); err != nil {
			return fmt.Errorf("%w\nnothing went back; run this again", err)
		}
	}
	h.bar = newProgress(cmd.ErrOrStderr(), len(plan))
	defer h.bar.end()
	for _, of := range plan {
		if of.Intent != nil {
			if err := h.back(ctx, of, controllers); err != nil {
				return fmt.Errorf("%w\nwhat went back stays, and its exit is kept; run this again to go on", err)
			}
		}
		if !controllers {
			if err := h.dropRules(ctx, of); err != nil {
				return err
			}
		}
		h.bar.step()
	}
	if !controllers {
		h.bar.end()
		fmt.Fprintln(cmd.ErrOrStderr(), "Nobody keeps exits any more, so they stay. Once nothing is sealed, delete those of each egress gateway's namespace by the label app.kubernetes.io/managed-by=egress-governor.")
		return nil
	}
	if err := pause(ctx, h.settle); err != nil {
		return err
	}
	for _, of := range plan {
		if of.GetKind() != "ServiceEntry" {
			continue
		}
		if err := h.release(ctx, of.Unstructured); err != nil {
			return err
		}
	}
	return nil
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
			uid := rule.GetUID()
			err = rules.Delete(ctx, name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
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

// back writes an object as its author wrote it. An entry holds its exit, where somebody keeps that.
func (h *hand) back(ctx context.Context, of adopt.Return, controllers bool) error {
	entry := of.GetKind() == "ServiceEntry"
	return h.write(ctx, of.Unstructured, func(now *unstructured.Unstructured) error {
		if !maps.Equal(now.GetLabels(), of.GetLabels()) {
			return errors.New("somebody changed its labels since the plan was made; run this again")
		}
		before := now.GetManagedFields()
		now.Object["spec"] = of.Intent.Object["spec"]
		now.SetLabels(of.Intent.GetLabels())
		annotations := now.GetAnnotations()
		delete(annotations, hop.IntentAnnotation)
		if entry && controllers {
			if annotations == nil {
				annotations = map[string]string{}
			}
			annotations[hop.ExitAnnotation] = hop.ExitHeld
		}
		now.SetAnnotations(annotations)
		out, err := h.of(now).Update(ctx, now, metav1.UpdateOptions{FieldManager: "egressctl"})
		if err == nil && entry && h.sealed(out) {
			err = errors.New("it was sealed again: the API server asks the webhook about it")
		}
		if err != nil || !hop.GiveBack(out, before) {
			return err
		}
		_, err = h.of(out).Update(ctx, out, metav1.UpdateOptions{FieldManager: "egressctl"})
		if apierrors.IsConflict(err) {
			return nil // somebody has written it since
		}
		return err
	})
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
