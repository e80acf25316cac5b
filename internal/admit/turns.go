package admit

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"
	admissionv1 "k8s.io/api/admission/v1"
)

// turns bounds what is worked on at once, by the size of the objects, and with it memory. A namespace has half of it at most: whoever
// writes many large objects in one waits for his own, and others do not. Those of a namespace take turns as they came.
type turns struct {
	capacity, least int64
	all             *semaphore.Weighted

	mu sync.Mutex
	of map[string]*share
}

// share is what a namespace has of the turns, while somebody has or awaits one of it.
type share struct {
	*semaphore.Weighted
	users int
}

const (
	// inFlight is how many bytes of objects are worked on at once. A byte of what review/bounds.go lets through holds 150 meanwhile, at
	// most (BenchmarkHeld), so that all together hold some 110 MiB. A larger object has its namespace's share to itself.
	inFlight = 768 << 10
	// maxInFlight is how many small objects are.
	maxInFlight = 32
)

func newTurns(capacity, most int64) *turns {
	return &turns{capacity: capacity, least: capacity / most, all: semaphore.NewWeighted(capacity), of: map[string]*share{}}
}

// take waits for the turn of a request, until its client has left; done gives it back.
func (t *turns) take(ctx context.Context, req *admissionv1.AdmissionRequest) (done func(), err error) {
	weight := min(max(int64(len(req.Object.Raw)+len(req.OldObject.Raw)), t.least), t.capacity/2)
	own := t.enter(req.Namespace)
	if err := own.Acquire(ctx, weight); err != nil {
		t.leave(req.Namespace)
		return nil, err
	}
	if err := t.all.Acquire(ctx, weight); err != nil {
		own.Release(weight)
		t.leave(req.Namespace)
		return nil, err
	}
	return func() {
		t.all.Release(weight)
		own.Release(weight)
		t.leave(req.Namespace)
	}, nil
}

func (t *turns) enter(namespace string) *share {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.of[namespace] == nil {
		t.of[namespace] = &share{Weighted: semaphore.NewWeighted(t.capacity / 2)}
	}
	t.of[namespace].users++
	return t.of[namespace]
}

func (t *turns) leave(namespace string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.of[namespace].users--; t.of[namespace].users == 0 {
		delete(t.of, namespace)
	}
}
