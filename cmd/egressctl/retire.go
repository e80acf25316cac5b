package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/adopt"
	"github.com/egress-governor/egress-governor/internal/dryrun"
	"github.com/egress-governor/egress-governor/internal/manifest"
)

// retire deletes what was written by hand: routes whose calls go by sealed entries that are ready for all who see them, and, once proxies know
// of it, the rest.
func (h *hand) retire(ctx context.Context, plan *adopt.Plan, session *dryrun.Session, file string) error {
	var routes, rest []adopt.Hop
	for _, each := range plan.Hops {
		switch {
		case each.Keep != "":
		case each.GetKind() == "VirtualService":
			routes = append(routes, each)
		default:
			rest = append(rest, each)
		}
	}
	if len(routes) == 0 {
		return nil
	}
	now, err := list(ctx, h.client, "", []schema.GroupVersionResource{resources["Namespace"], resources["ServiceEntry"]})
	if err != nil {
		return err
	}
	standing, err := adopt.NewStanding(h.mesh, now)
	if err != nil {
		return err
	}
	for _, each := range routes {
		if said := standing.Lacks(each); said != "" {
			return fmt.Errorf("%s is not retired: %s", manifest.Name(each.Unstructured), said)
		}
	}
	return h.retired(ctx, routes, rest, session, file)
}

// retired deletes routes, and, once proxies know of it, the rest. All stand in the file before, in the order in which they can be applied.
func (h *hand) retired(ctx context.Context, routes, rest []adopt.Hop, session *dryrun.Session, file string) error {
	now := map[*unstructured.Unstructured]*unstructured.Unstructured{}
	var text []byte
	for _, of := range slices.Concat(rest, routes) {
		stored, written, err := h.written(ctx, of, session)
		if err != nil {
			return fmt.Errorf("%s: %w", manifest.Name(of.Unstructured), err)
		}
		now[of.Unstructured] = stored
		text = append(append(text, "---\n"...), written...)
	}
	if err := appended(file, text); err != nil {
		return err
	}
	for i, of := range slices.Concat(routes, rest) {
		if i == len(routes) {
			if err := pause(ctx, h.settle); err != nil {
				return err
			}
		}
		if err := h.limiter.Wait(ctx); err != nil {
			return err
		}
		stored := now[of.Unstructured]
		uid, version := stored.GetUID(), stored.GetResourceVersion()
		err := h.of(stored).Delete(ctx, stored.GetName(), metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid, ResourceVersion: &version}})
		if err != nil {
			return fmt.Errorf("%s: %w", manifest.Name(stored), err)
		}
	}
	return nil
}

func appended(file string, text []byte) error {
	to, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = to.Write(text)
	return errors.Join(err, to.Sync(), to.Close())
}

// written returns an object as it is stored now, and the text of it as its author wrote it. The error is that of one of which he wrote
// something else since the plan.
func (h *hand) written(ctx context.Context, of adopt.Hop, session *dryrun.Session) (*unstructured.Unstructured, []byte, error) {
	now, err := h.of(of.Unstructured).Get(ctx, of.GetName(), metav1.GetOptions{})
	if err != nil {
		return nil, nil, err
	}
	intent, err := session.Intent(manifest.Object{Unstructured: now})
	planned, unread := session.Intent(of.Object)
	if err = errors.Join(err, unread); err != nil {
		return nil, nil, err
	}
	if now.GetUID() != of.GetUID() || !equality.Semantic.DeepEqual(intent.Object["spec"], planned.Object["spec"]) {
		return nil, nil, errChanged
	}
	intent = dryrun.Bare(intent)
	delete(intent.Object, "status")
	raw, err := yaml.Marshal(intent.Object)
	return now, raw, err
}
