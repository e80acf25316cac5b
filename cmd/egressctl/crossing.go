package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/adopt"
	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/internal/manifest"
)

// leftCrossings returns the crossings of the entries of namespaces that stand, which an earlier run may have left; of all where none are named.
// Whoever may not list them knows of those that this run stored.
func (h *hand) leftCrossings(ctx context.Context, of ...string) ([]unstructured.Unstructured, error) {
	selector := hop.CrossingLabel
	if len(of) > 0 {
		selector += " in (" + strings.Join(of, ",") + ")"
	}
	list, err := h.client.Resource(resources[hop.EnvoyFilter.Kind]).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if notTaken(err) {
		var stored []unstructured.Unstructured
		for _, each := range h.crossed {
			if ofThese(each, of) {
				stored = append(stored, *each)
			}
		}
		return stored, nil
	}
	if err != nil {
		return nil, fmt.Errorf("EnvoyFilters cannot be read: %w", err)
	}
	return list.Items, nil
}

// ofThese says whether a crossing is of the entries of namespaces, or of any where none are named.
func ofThese(crossing *unstructured.Unstructured, namespaces []string) bool {
	return len(namespaces) == 0 || slices.Contains(namespaces, crossing.GetLabels()[hop.CrossingLabel])
}

// before has what keeps calls going stand before anything goes back.
func (h *hand) before(cmd *cobra.Command, plan []adopt.Return, crossings []adopt.Crossing, controllers bool) error {
	if controllers {
		if err := h.unruled(cmd, plan); err != nil {
			return err
		}
	}
	left, err := h.leftCrossings(cmd.Context(), adopt.Namespaces(plan)...)
	if err != nil {
		return err
	}
	return h.cross(cmd, crossings, len(left) > 0)
}

// cross has crossings stand, and proxies know of them. Those that an earlier run left keep calls going until proxies know of all that it wrote,
// and are the present ones then, or go at the end.
func (h *hand) cross(cmd *cobra.Command, of []adopt.Crossing, left bool) error {
	ctx := cmd.Context()
	if left {
		if err := pause(ctx, h.settle); err != nil {
			return err
		}
	}
	for _, crossing := range of {
		object := crossing.Object(h.mesh)
		err := h.put(ctx, object)
		if notTaken(err) {
			fmt.Fprintf(cmd.ErrOrStderr(), "Note: %s cannot be stored: %v; calls of namespace %s to %s may fail for the moment between the entry and the rule that encrypts them\n",
				manifest.Name(object), err, crossing.Namespace, strings.Join(crossing.Hosts(), ", "))
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", manifest.Name(object), err)
		}
	}
	if len(of) == 0 {
		return nil
	}
	return pause(ctx, h.settle)
}

// put stores an object as it is, in its turn.
func (h *hand) put(ctx context.Context, object *unstructured.Unstructured) error {
	if err := h.limiter.Wait(ctx); err != nil {
		return err
	}
	stored, err := h.of(object).Create(ctx, object, metav1.CreateOptions{FieldManager: "egressctl"})
	if apierrors.IsAlreadyExists(err) {
		stored, err = h.over(ctx, object)
	}
	if err == nil {
		h.crossed = append(h.crossed, stored)
	}
	return err
}

// over stores an object in the place of one that is there.
func (h *hand) over(ctx context.Context, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	now, err := h.of(object).Get(ctx, object.GetName(), metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	object.SetResourceVersion(now.GetResourceVersion())
	return h.of(object).Update(ctx, object, metav1.UpdateOptions{FieldManager: "egressctl"})
}

// uncross takes the crossings of the entries of namespaces away, of all where none are named, once proxies know what was written meanwhile.
func (h *hand) uncross(ctx context.Context, of ...string) error {
	standing, err := h.leftCrossings(ctx, of...)
	if err != nil || len(standing) == 0 {
		return err
	}
	if err := pause(ctx, h.settle); err != nil {
		return err
	}
	for i := range standing {
		if err := h.limiter.Wait(ctx); err != nil {
			return err
		}
		err := h.of(&standing[i]).Delete(ctx, standing[i].GetName(), *metav1.NewPreconditionDeleteOptions(string(standing[i].GetUID())))
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("%s: %w; calls go by the gateway until it is deleted", manifest.Name(&standing[i]), err)
		}
	}
	h.crossed = slices.DeleteFunc(h.crossed, func(each *unstructured.Unstructured) bool { return ofThese(each, of) })
	return nil
}

// notTaken says whether a cluster does not have somebody write EnvoyFilters: it has none, or he may not, or they are denied.
func notTaken(err error) bool {
	return apierrors.IsNotFound(err) || apierrors.IsForbidden(err) || apierrors.IsInvalid(err) || err != nil && strings.Contains(err.Error(), "denied the request")
}
