package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/adopt"
	"github.com/egress-governor/egress-governor/internal/config"
	"github.com/egress-governor/egress-governor/internal/dryrun"
	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/internal/manifest"
	"github.com/egress-governor/egress-governor/internal/registry"
)

// adopt carries out a plan. Each namespace is its own: one that fails keeps no other back.
func (h *hand) adopt(cmd *cobra.Command, plan *adopt.Plan, session *dryrun.Session, retired string) error {
	var errs []error
	for _, namespace := range plan.Namespaces {
		if err := h.namespace(cmd, namespace); err != nil {
			errs = append(errs, fmt.Errorf("namespace %s: %w", namespace.Name, err), fmt.Errorf("what is done there stays, and works; run this again to go on, or go back by: egressctl unseal %s", namespace.Name))
		}
		if err := cmd.Context().Err(); err != nil {
			return errors.Join(errs...)
		}
	}
	if retired != "" && len(errs) == 0 {
		errs = append(errs, h.retire(cmd.Context(), plan, session, retired))
	}
	return errors.Join(errs...)
}

// namespace adopts one: exits before entries, and entries before what leads to them.
func (h *hand) namespace(cmd *cobra.Command, of adopt.Namespace) error {
	ctx := cmd.Context()
	var entries, others []*unstructured.Unstructured
	for _, object := range of.Objects {
		switch object.State {
		case adopt.Seal, adopt.Held:
			entries = append(entries, object.Unstructured)
		case adopt.Rewrite:
			others = append(others, object.Unstructured)
		}
	}
	if len(entries)+len(others) == 0 {
		return h.uncross(ctx, of.Name)
	}
	left, err := h.leftCrossings(ctx, of.Name)
	if err != nil {
		return err
	}
	h.bar = newProgress(cmd.ErrOrStderr(), 2*len(entries)+len(others))
	defer h.bar.end()
	if of.Observed {
		if err := h.govern(ctx, of.Name); err != nil {
			return err
		}
	}
	if err := h.ahead(ctx, entries); err != nil {
		return err
	}
	if err := h.cross(cmd, of.Crossings, len(left) > 0); err != nil {
		return err
	}
	if err := h.turn(ctx, entries, others); err != nil {
		return err
	}
	if err := h.uncross(ctx, of.Name); err != nil {
		return err
	}
	h.bar.end()
	fmt.Fprintf(cmd.ErrOrStderr(), "Namespace %s: %d sealed, %d rewritten. Back: egressctl unseal %s\n", of.Name, len(entries), len(others), of.Name)
	return nil
}

// turn has entries sealed, and then what leads to them stored as it goes with that.
func (h *hand) turn(ctx context.Context, entries, others []*unstructured.Unstructured) error {
	for _, entry := range entries {
		if err := h.seal(ctx, entry); err != nil {
			return err
		}
		h.bar.step()
	}
	for _, object := range others {
		if err := h.again(ctx, object); err != nil {
			return err
		}
		h.bar.step()
	}
	return nil
}

// govern has a namespace governed that was observed. What is stored in it stays as it is.
func (h *hand) govern(ctx context.Context, name string) error {
	namespaces := h.client.Resource(resources["Namespace"])
	now, err := namespaces.Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if now, err = h.patch(ctx, now, map[string]any{"labels": map[string]any{config.ModeLabel: "Enforce"}}); err != nil {
		return err
	}
	return h.followers.view.Put(now)
}

// ahead has the exits of entries stand, and proxies know of them, while the entries are as they were.
func (h *hand) ahead(ctx context.Context, entries []*unstructured.Unstructured) error {
	for i, entry := range entries {
		if i == 0 {
			if err := h.asked(ctx, entry); err != nil {
				return err
			}
		}
		err := h.write(ctx, entry, func(now *unstructured.Unstructured) error {
			if h.sealed(now) || hop.Held(now) {
				return nil
			}
			_, err := h.patch(ctx, now, holding)
			return err
		})
		if err != nil {
			return err
		}
	}
	for _, entry := range entries {
		if err := h.await(ctx, entry, registry.ReasonAhead); err != nil {
			return err
		}
		h.bar.step()
	}
	if len(entries) == 0 {
		return nil
	}
	return pause(ctx, h.settle)
}

// asked waits until the webhook is asked about an entry: what the API server knows of a namespace it knows a moment later.
func (h *hand) asked(ctx context.Context, entry *unstructured.Unstructured) error {
	is, err := h.poll(ctx, func() (bool, error) {
		now, err := h.fresh(ctx, entry)
		if err != nil {
			return false, err
		}
		would, err := h.patch(ctx, now, releasing, metav1.DryRunAll)
		if apierrors.IsConflict(err) {
			return false, nil
		}
		return err == nil && h.sealed(would), err
	})
	if err == nil && !is {
		err = errors.New("the API server does not ask the webhook about it: is egress-governor installed, and the namespace governed?")
	}
	if err != nil {
		return fmt.Errorf("%s: %w", manifest.Name(entry), err)
	}
	return nil
}

// seal has an entry sealed whose exit stands, and with it what goes with that, and waits until the exit serves it.
func (h *hand) seal(ctx context.Context, entry *unstructured.Unstructured) error {
	beside, err := h.beside(ctx, entry)
	if err != nil {
		return err
	}
	err = h.write(ctx, entry, func(now *unstructured.Unstructured) error {
		out, err := h.patch(ctx, now, releasing)
		if err == nil && !h.sealed(out) {
			err = errors.New("it was not sealed: the API server did not ask the webhook")
		}
		entry = out
		return err
	})
	if err != nil {
		return err
	}
	if err := h.follow(ctx, entry, beside); err != nil {
		return err
	}
	return h.await(ctx, entry, registry.ReasonConfigured)
}

// again has an object stored in the form that the entries ask for by now, unless it followed one of them; the controllers may have come before.
func (h *hand) again(ctx context.Context, object *unstructured.Unstructured) error {
	if h.followers.done(object) {
		return nil
	}
	if err := h.limiter.Wait(ctx); err != nil {
		return err
	}
	now, err := h.of(object).Get(ctx, object.GetName(), metav1.GetOptions{})
	if err == nil {
		_, err = h.patch(ctx, now, nil)
	}
	if err != nil && !apierrors.IsConflict(err) {
		return fmt.Errorf("%s: %w", manifest.Name(object), err)
	}
	return nil
}
