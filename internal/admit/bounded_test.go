package admit

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

// TestRequestsWaitForTheirTurn: no more than so many are worked on at once, and none whose client has left.
func TestRequestsWaitForTheirTurn(t *testing.T) {
	t.Parallel()
	h := &Handler{inFlight: make(chan struct{}, 2)}
	started, leave := make(chan struct{}, 3), make(chan struct{})
	handle := h.bounded(func(context.Context, admission.Request) admission.Response {
		started <- struct{}{}
		<-leave
		return admission.Allowed("")
	})
	var done sync.WaitGroup
	for range 3 {
		done.Go(func() { assert.True(t, handle(context.Background(), admission.Request{}).Allowed) })
	}
	<-started
	<-started
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	assert.False(t, handle(gone, admission.Request{}).Allowed)
	assert.Empty(t, started, "the third waits")
	close(leave)
	done.Wait()
	assert.Len(t, started, 1)
}
