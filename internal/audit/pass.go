package audit

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/internal/review"
)

// pageSize is how many objects one list returns.
const pageSize = 100

// judged is what is wrong with a stored object.
type judged struct {
	uid        types.UID
	apiVersion string
	findings   []review.Finding
	// sealed says that it is an entry with an exit.
	sealed bool
	// observed says that this is so only if its namespace is governed, changes what would be stored otherwise then.
	observed bool
	changes  []string
}

// pass judges all objects of some kinds. On error what is known of the rest stays.
func (a *Auditor) pass(ctx context.Context, of []string) error {
	began, objects := a.Now(), 0
	whole := len(of) == len(kinds)
	if whole {
		a.begin()
	}
	policies, err := a.readPolicies(ctx)
	if err != nil {
		return err
	}
	var rehearsal *rehearsal
	if whole {
		if rehearsal, err = a.rehearse(ctx); err != nil {
			return err
		}
	}
	for _, kind := range of {
		found, seen, err := a.judgeAll(ctx, kind, rehearsal)
		if err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
		objects += seen
		a.know(kind, found)
		if kind == serviceEntry {
			if err := a.stillConfirmed(ctx, policies); err != nil {
				return err
			}
			// It closes exits, and waits for nothing.
			a.policies = policies
			a.decide()
		}
	}
	if whole {
		if err := a.observe(ctx, rehearsal); err != nil {
			return err
		}
	}
	a.publish(ctx)
	took := a.Now().Sub(began)
	if whole {
		a.ended, a.took = a.Now(), took
		a.metrics.passed(a.ended, objects)
	}
	a.log(ctx, objects, took)
	return nil
}

func (a *Auditor) log(ctx context.Context, objects int, took time.Duration) {
	violations, observed := 0, 0
	for _, of := range a.found {
		violations += len(of.findings)
		if of.observed {
			observed++
		}
	}
	ctrl.LoggerFrom(ctx).Info("Audited", "objects", objects, "violating", len(a.found), "violations", violations,
		"suspended", len(a.Entries.Suspensions()), "held", len(a.held), "unsealed", len(a.Unsealed()), "observed", observed, "took", took.String())
}

// begin says that whatever was written so far is what the pass is about.
func (a *Auditor) begin() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.dirty, a.stale = false, false
}

// know takes in what was found wrong with the objects of a kind.
func (a *Auditor) know(kind string, found map[objectKey]judged) {
	a.mu.Lock()
	defer a.mu.Unlock()
	maps.DeleteFunc(a.found, func(key objectKey, of judged) bool { return key.Kind == kind && !of.observed })
	maps.Copy(a.found, found)
}

// judgeAll reads the objects of a kind page by page. A rehearsal takes them in.
func (a *Auditor) judgeAll(ctx context.Context, kind string, rehearsal *rehearsal) (found map[objectKey]judged, seen int, err error) {
	found = map[objectKey]judged{}
	of, served, err := a.served(kind)
	if err != nil || !served {
		return found, 0, err
	}
	next := ""
	for {
		if err := a.limiter.Wait(ctx); err != nil {
			return nil, seen, err
		}
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(of.GroupVersion().WithKind(kind + "List"))
		err := a.Live.List(ctx, list, client.Limit(pageSize), client.Continue(next))
		if from := goesOn(err); from != "" && from != next {
			// What was read so far is of an older moment.
			next = from
			continue
		}
		if apierrors.IsNotFound(err) && !ofMesh(kind) {
			// It was served when that was asked for last.
			return map[objectKey]judged{}, 0, nil
		}
		if err != nil {
			return nil, seen, err
		}
		for i := range list.Items {
			key, judged, governed, err := a.judge(ctx, &list.Items[i])
			if err == nil {
				err = rehearsal.take(&list.Items[i])
			}
			if err != nil {
				return nil, seen, err
			}
			if governed {
				seen++
			}
			if len(judged.findings) > 0 {
				found[key] = judged
			}
		}
		if next = list.GetContinue(); next == "" {
			return found, seen, nil
		}
	}
}

// goesOn returns where a list that took too long can be gone on with.
func goesOn(err error) string {
	var status apierrors.APIStatus
	if apierrors.IsResourceExpired(err) && errors.As(err, &status) {
		return status.Status().Continue
	}
	return ""
}

// again judges single objects.
func (a *Auditor) again(ctx context.Context, touched map[objectKey]bool) error {
	for key := range touched {
		object := &unstructured.Unstructured{}
		object.SetGroupVersionKind(gvk(key.Kind))
		var of judged
		err := a.Live.Get(ctx, key.name(), object)
		if err == nil {
			_, of, _, err = a.judge(ctx, object)
		}
		if client.IgnoreNotFound(err) != nil {
			return err
		}
		a.mu.Lock()
		if delete(a.found, key); len(of.findings) > 0 {
			a.found[key] = of
		}
		a.mu.Unlock()
	}
	a.decide()
	a.publish(ctx)
	return nil
}

// judge judges one object in its turn; those of namespaces that are not governed are nobody's to judge. One that cannot be
// judged is as it was. The error is that of the context.
func (a *Auditor) judge(ctx context.Context, object *unstructured.Unstructured) (key objectKey, out judged, governed bool, err error) {
	key = objectKey{object.GetKind(), object.GetNamespace(), object.GetName()}
	namespace := &corev1.Namespace{}
	unread := a.Cached.Get(ctx, types.NamespacedName{Name: key.Namespace}, namespace)
	if apierrors.IsNotFound(unread) || (unread == nil && !a.Mesh.Governed.Matches(labels.Set(namespace.Labels))) {
		return key, judged{}, false, nil
	}
	if err := a.limiter.Wait(ctx); err != nil {
		return key, judged{}, true, err
	}
	var outcome *review.Outcome
	if unread == nil {
		outcome, unread = a.Reviewer.Review(ctx, review.Request{
			Operation: review.Audit, Object: object, Name: key.Name, Time: a.Now(),
			Namespace: review.Namespace{Name: key.Namespace, Labels: namespace.Labels, Annotations: namespace.Annotations},
		})
	}
	if unread != nil {
		ctrl.LoggerFrom(ctx).Error(unread, "Stored object cannot be judged", "kind", key.Kind, "namespace", key.Namespace, "name", key.Name)
		return key, a.found[key], true, ctx.Err()
	}
	_, sealed := hop.SealedTo(object, a.Mesh)
	return key, judged{uid: object.GetUID(), apiVersion: object.GetAPIVersion(), findings: outcome.Findings, sealed: sealed && key.Kind == serviceEntry}, true, nil
}

// Unsealed returns the entries of governed namespaces that lead straight out, by name.
func (a *Auditor) Unsealed() (out []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for key, of := range a.found {
		if slices.ContainsFunc(of.findings, func(finding review.Finding) bool { return finding.Code == review.CodeUnsealed }) {
			out = append(out, key.name().String())
		}
	}
	slices.Sort(out)
	return out
}
