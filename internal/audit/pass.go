package audit

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/internal/review"
)

// judged is what is wrong with a stored object.
type judged struct {
	uid        types.UID
	apiVersion string
	findings   []review.Finding
	// sealed says that it is an entry with an exit, of the hosts.
	sealed bool
	hosts  []string
	// observed says that this is so only if its namespace is governed, changes what would be stored otherwise then.
	observed bool
	changes  []string
}

// pass judges all objects of some kinds. On error what is known of the rest stays, and the pass can be gone on with.
func (a *Auditor) pass(ctx context.Context, of []string) error {
	next, err := a.set(ctx, of)
	if err != nil {
		a.dirt(true)
		return err
	}
	return a.walk(ctx, next)
}

// walk goes on with a pass, and keeps what is left of it. What the rest has come to is told once where nothing is left but kinds that may
// not be read: that may stay so.
func (a *Auditor) walk(ctx context.Context, of *walk) error {
	began := a.Now()
	defer func() { of.took += a.Now().Sub(began) }()
	denied, left := a.walkKinds(ctx, of)
	switch {
	case left == nil && a.left == of:
		a.left = nil
	case left != nil:
		a.left = of
	}
	switch {
	case left != nil && !denied:
		return left
	case left != nil && of.told:
		a.remind(ctx)
		return left
	}
	return errors.Join(left, a.tell(ctx, of, of.took+a.Now().Sub(began), left == nil))
}

// walkKinds judges what is left. A kind that cannot be read keeps no other from being judged, but an API server that does not answer is
// asked for no other; denied says that those which cannot be read may not be.
func (a *Auditor) walkKinds(ctx context.Context, of *walk) (denied bool, err error) {
	var errs []error
	denied = true
	for _, kind := range slices.Clone(of.kinds) {
		err := a.walkKind(ctx, kind, of)
		if err == nil {
			of.done(kind)
			continue
		}
		errs = append(errs, fmt.Errorf("%s: %w", kind, err))
		denied = denied && apierrors.IsForbidden(err)
		if apierrors.ReasonForError(err) == metav1.StatusReasonUnknown {
			break
		}
	}
	return denied, errors.Join(errs...)
}

// tell tells what a pass has come to; the metrics have it as one that ended where that is all.
func (a *Auditor) tell(ctx context.Context, of *walk, took time.Duration, all bool) error {
	if of.whole {
		// Once: what was rehearsed is stored by then.
		if !of.rehearsed {
			if err := a.observe(ctx, of.rehearsal); err != nil {
				return err
			}
			of.rehearsed = true
		}
		a.ended, a.took = a.Now(), took
		a.reports.unlisted()
		if all {
			a.metrics.passed(a.ended, of.objects())
		}
	}
	of.told = true
	a.over()
	a.publish(ctx)
	a.log(ctx, of.objects(), took)
	return nil
}

// walkKind judges what is left of a kind, and takes in what was found.
func (a *Auditor) walkKind(ctx context.Context, kind string, of *walk) error {
	if err := a.judgeAll(ctx, kind, of.place(kind), of.rehearsal); err != nil {
		return err
	}
	a.know(kind, of.place(kind).found)
	if kind != serviceEntry {
		return nil
	}
	if err := a.stillConfirmed(ctx, of.policies); err != nil {
		return err
	}
	a.policies = of.policies
	// What was mended since it was read is not suspended for what it was.
	a.attend(ctx, math.MaxInt)
	// It closes exits, and waits for nothing else.
	a.decide()
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

// judgeAll reads the objects of a kind page by page, from where that ended last. A rehearsal takes them in.
func (a *Auditor) judgeAll(ctx context.Context, kind string, at *place, rehearsal *rehearsal) error {
	of, served, err := a.served(kind)
	if err != nil {
		return err
	}
	for served && !at.end {
		list, err := a.page(ctx, of, at, pageSize)
		if unserved(err) && !ofMesh(kind) {
			// It was served when that was asked for last.
			served = false
			break
		}
		if err != nil {
			return err
		}
		for i := range list.Items {
			if err := a.judgeOne(ctx, &list.Items[i], at, rehearsal); err != nil {
				return err
			}
		}
		at.turned(list)
		a.between(ctx)
	}
	if !served {
		*at = *newPlace()
	}
	return nil
}

// judgeOne judges an object of a page, unless it was judged as it is.
func (a *Auditor) judgeOne(ctx context.Context, object *unstructured.Unstructured, at *place, rehearsal *rehearsal) error {
	if at.knows(object) {
		return nil
	}
	key, judged, governed, err := a.judge(ctx, object)
	if err == nil {
		err = rehearsal.take(object)
	}
	if err != nil {
		return err
	}
	at.take(object, key, judged, governed)
	return nil
}

// judge judges one object in its turn; those of namespaces that are not governed are nobody's to judge. One that cannot be
// judged is as it was. The error is that of the context.
func (a *Auditor) judge(ctx context.Context, object *unstructured.Unstructured) (key objectKey, out judged, governed bool, err error) {
	key = keyOf(object)
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
	out = judged{uid: object.GetUID(), apiVersion: object.GetAPIVersion(), findings: outcome.Findings}
	if _, sealed := hop.SealedTo(object, a.Mesh); sealed && key.Kind == serviceEntry {
		out.sealed = true
		out.hosts = egress.Hosts(object)
	}
	return key, out, true, nil
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
