package audit

import (
	"context"
	"maps"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// What is judged alone: single objects, as they change.

// Touched has an object judged again, where something was wrong with it: it is new, changed, or is gone. What is observed is looked
// at by the minute.
func (a *Auditor) Touched(kind, namespace, name string) {
	key := objectKey{kind, namespace, name}
	a.mu.Lock()
	a.stale = true
	of, wrong := a.found[key]
	wrong = wrong && !of.observed
	if wrong {
		a.touched[key] = true
	}
	a.meanwhile.add(key)
	a.mu.Unlock()
	if wrong {
		a.ring()
	}
}

func (a *Auditor) take() (dirty bool, touched map[objectKey]bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	dirty, touched = a.dirty, a.touched
	a.dirty, a.touched = false, map[objectKey]bool{}
	return dirty, touched
}

// some takes at most so many of the objects that are to be judged alone.
func (a *Auditor) some(most int) map[objectKey]bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := map[objectKey]bool{}
	for key := range a.touched {
		if len(out) == most {
			break
		}
		out[key] = true
		delete(a.touched, key)
	}
	return out
}

// untouched has objects judged again that could not be.
func (a *Auditor) untouched(of map[objectKey]bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	maps.Copy(a.touched, of)
}

// again judges single objects, and tells what that comes to.
func (a *Auditor) again(ctx context.Context, touched map[objectKey]bool) error {
	if err := a.alone(ctx, touched); err != nil {
		return err
	}
	a.decide()
	a.publish(ctx)
	return nil
}

// between judges in the middle of a pass what was touched, so that an entry that was mended has its exit back at once, and at most a
// page of it, so that the pass goes on however much is written. It is told of when the pass is.
func (a *Auditor) between(ctx context.Context) {
	if a.attend(ctx, pageSize) {
		a.decide()
	}
}

// attend judges at most so many of the touched objects, and says whether there were any. Those that cannot be read stay touched, and are
// read when the pass is over.
func (a *Auditor) attend(ctx context.Context, most int) bool {
	touched := a.some(most)
	if len(touched) == 0 {
		return false
	}
	a.late = true
	_ = a.alone(ctx, touched)
	return true
}

// alone judges single objects as they are stored now. On error the rest of them stays touched.
func (a *Auditor) alone(ctx context.Context, touched map[objectKey]bool) error {
	for key := range touched {
		object := &unstructured.Unstructured{}
		object.SetGroupVersionKind(gvk(key.Kind))
		var of judged
		err := a.Live.Get(ctx, key.name(), object)
		if err == nil {
			_, of, _, err = a.judge(ctx, object)
		}
		if client.IgnoreNotFound(err) != nil {
			a.untouched(touched)
			return err
		}
		a.mu.Lock()
		if delete(a.found, key); len(of.findings) > 0 {
			a.found[key] = of
		}
		a.mu.Unlock()
		delete(touched, key)
	}
	return nil
}
