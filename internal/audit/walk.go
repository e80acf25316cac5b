package audit

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// pageSize is how many objects one list returns.
	pageSize = 100
	// mostMeanwhile is of how many objects is known that they were written while a pass went on.
	mostMeanwhile = 100_000
)

// walk is a pass, and how far it has come.
type walk struct {
	whole bool
	// kinds are those that are left, places how far each has come.
	kinds     []string
	places    map[string]*place
	policies  map[string]policyState
	rehearsal *rehearsal
	took      time.Duration
	// told says that it was told what it has come to, but for kinds that may not be read; rehearsed, that so was what was observed.
	told, rehearsed bool
}

// place is how far the objects of a kind are judged. A new leader begins at the first: what was suspended stays so, since entries
// say that of themselves, and what was told stands, but neither says by which policies and namespaces it was judged.
type place struct {
	next string
	end  bool
	// known are the objects that were judged, as they were; those of an earlier round may be gone.
	known map[objectKey]version
	round int
	found map[objectKey]judged
	// governed counts those that somebody asks about.
	governed int
}

// version is an object as it was judged.
type version struct {
	uid      types.UID
	version  string
	round    int
	governed bool
}

func newPlace() *place {
	return &place{known: map[objectKey]version{}, found: map[objectKey]judged{}}
}

// set sets out on a pass of some kinds.
func (a *Auditor) set(ctx context.Context, of []string) (*walk, error) {
	out := &walk{whole: len(of) == len(kinds), kinds: slices.Clone(of), places: map[string]*place{}}
	if out.whole {
		a.left = nil
	}
	a.begin(out.whole)
	var err error
	if out.policies, err = a.readPolicies(ctx); err == nil && out.whole {
		out.rehearsal, err = a.rehearse(ctx)
	}
	return out, err
}

// hour judges entries for policies that read the time. If that does not end, what is left of a whole pass has them once more.
func (a *Auditor) hour(ctx context.Context) error {
	left := a.left
	err := a.pass(ctx, kinds[:1])
	if left != nil && err != nil {
		left.anew(serviceEntry)
		a.left = left
	}
	return err
}

func (w *walk) place(kind string) *place {
	if w.places[kind] == nil {
		w.places[kind] = newPlace()
	}
	return w.places[kind]
}

// done says that a kind is judged. Of what was judged only the number is kept.
func (w *walk) done(kind string) {
	w.kinds = slices.DeleteFunc(w.kinds, func(left string) bool { return left == kind })
	w.places[kind] = &place{governed: w.places[kind].governed}
}

// anew has a kind judged from its first object, before all others, and told what that comes to.
func (w *walk) anew(kind string) {
	w.kinds = append([]string{kind}, slices.DeleteFunc(w.kinds, func(left string) bool { return left == kind })...)
	delete(w.places, kind)
	w.told = false
}

func (w *walk) objects() (out int) {
	for _, place := range w.places {
		out += place.governed
	}
	return out
}

// names returns the kinds that are left.
func (w *walk) names() []string {
	if w == nil {
		return nil
	}
	return w.kinds
}

// page reads the page that is next. One that fails is asked for again, and later each time.
func (a *Auditor) page(ctx context.Context, of schema.GroupVersionKind, at *place, size int64) (list *unstructured.UnstructuredList, last error) {
	err := wait.ExponentialBackoffWithContext(ctx, a.patience, func(ctx context.Context) (bool, error) {
		if err := a.limiter.Wait(ctx); err != nil {
			return false, err
		}
		list = &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(of.GroupVersion().WithKind(of.Kind + "List"))
		last = a.Live.List(ctx, list, client.Limit(size), client.Continue(at.next))
		if unserved(last) || apierrors.IsForbidden(last) {
			return false, last
		}
		if apierrors.IsResourceExpired(last) && at.next != "" {
			at.expired(last)
		}
		return last == nil, nil
	})
	if wait.Interrupted(err) && last != nil {
		err = last
	}
	return list, err
}

// expired goes on where the API server says, with what is there now; where it does not say, from the first page, past what
// was judged already.
func (p *place) expired(err error) {
	var status apierrors.APIStatus
	last := p.next
	if p.next = ""; errors.As(err, &status) && status.Status().Continue != last {
		p.next = status.Status().Continue
	}
	if p.next == "" {
		p.round++
	}
}

// knows says whether an object was judged as it is.
func (p *place) knows(object *unstructured.Unstructured) bool {
	key := keyOf(object)
	known, is := p.known[key]
	if !is || known.uid != object.GetUID() || known.version != object.GetResourceVersion() {
		return false
	}
	known.round = p.round
	p.known[key] = known
	return true
}

// take takes in what became of an object.
func (p *place) take(object *unstructured.Unstructured, key objectKey, of judged, governed bool) {
	p.forget(key)
	p.known[key] = version{object.GetUID(), object.GetResourceVersion(), p.round, governed}
	if governed {
		p.governed++
	}
	if len(of.findings) > 0 {
		p.found[key] = of
	}
}

func (p *place) forget(key objectKey) {
	if p.known[key].governed {
		p.governed--
	}
	delete(p.known, key)
	delete(p.found, key)
}

// turned turns the page. After the last what an earlier round saw and this one did not is gone.
func (p *place) turned(page *unstructured.UnstructuredList) {
	p.next = page.GetContinue()
	if p.end = p.next == ""; !p.end || p.round == 0 {
		return
	}
	for key, known := range p.known {
		if known.round != p.round {
			p.forget(key)
		}
	}
}

// meanwhile is what was written while a pass goes on: pages are of the moment in which the first was read.
type meanwhile struct {
	going bool
	keys  map[objectKey]bool
	// lost says that there was too much of it.
	lost bool
}

func (m *meanwhile) add(key objectKey) {
	switch {
	case !m.going:
	case len(m.keys) < mostMeanwhile:
		m.keys[key] = true
	default:
		m.lost = true
	}
}

// begin says that whatever was written so far is what the pass is about.
func (a *Auditor) begin(whole bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if whole || !a.meanwhile.going {
		a.meanwhile = meanwhile{going: true, keys: map[objectKey]bool{}}
	}
	if whole {
		a.dirty, a.stale = false, false
	}
}

// over says that a pass ended, and none is left.
func (a *Auditor) over() {
	if a.left != nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.meanwhile = meanwhile{}
}

// know takes in what was found wrong with the objects of a kind. Those that were written since they were read are judged again.
func (a *Auditor) know(kind string, found map[objectKey]judged) {
	a.mu.Lock()
	defer a.mu.Unlock()
	maps.DeleteFunc(a.found, func(key objectKey, of judged) bool { return key.Kind == kind && !of.observed })
	maps.Copy(a.found, found)
	for key := range found {
		if a.meanwhile.keys[key] || a.meanwhile.lost {
			a.touched[key] = true
			a.ring()
		}
	}
}
