package admit

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/internal/record"
	"github.com/egress-governor/egress-governor/internal/review"
)

// TestRequestsWaitForTheirTurn: no more than so many of a namespace are worked on at once, and none whose client has left.
func TestRequestsWaitForTheirTurn(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	recorder, err := record.New(registry)
	require.NoError(t, err)
	h := &Handler{Options: Options{Recorder: recorder}, turns: newTurns(1024, 4)}
	started, leave := make(chan struct{}, 3), make(chan struct{})
	handle := h.bounded("validate", func(context.Context, admission.Request) admission.Response {
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
	count, err := testutil.GatherAndCount(registry, "egress_governor_request_duration_seconds")
	require.NoError(t, err)
	assert.Equal(t, 1, count, "by handler and kind, which an unknown one does not add to")
}

// later is a Reviewer whose view of the cluster lags.
type later struct {
	Reviewer
	asked, known int
	code         string
}

func (l *later) Review(context.Context, review.Request) (*review.Outcome, error) {
	l.asked++
	if l.asked > l.known {
		return &review.Outcome{Verdict: review.Allowed}, nil
	}
	refusal := review.Finding{Finding: egress.Finding{Code: l.code}, Effect: review.Refused}
	return &review.Outcome{Verdict: review.Refused, Findings: []review.Finding{refusal}}, nil
}

// TestWhatIsAppliedTogetherIsKnownTogether: a refusal for want of an object that was applied just before is no answer
// until the cache had its time; any other is one at once.
func TestWhatIsAppliedTogetherIsKnownTogether(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reviewer later
		want     review.Verdict
		asked    int
	}{
		"known a moment later": {later{known: 2, code: hop.CodeGatewayRoute}, review.Allowed, 3},
		"another reason":       {later{known: 2, code: "other"}, review.Refused, 1},
		"known at once":        {later{}, review.Allowed, 1},
	} {
		h := &Handler{Options: Options{Reviewer: &tc.reviewer}}
		outcome, err := h.review(t.Context(), review.Request{})
		require.NoError(t, err, name)
		assert.Equal(t, tc.want, outcome.Verdict, name)
		assert.Equal(t, tc.asked, tc.reviewer.asked, name)
	}
	never := &later{known: 1 << 30, code: hop.CodeGatewayRoute}
	outcome, err := (&Handler{Options: Options{Reviewer: never}}).review(t.Context(), review.Request{})
	require.NoError(t, err)
	assert.Equal(t, review.Refused, outcome.Verdict)
	assert.Greater(t, never.asked, 1)
}

// sized is a request of a namespace with an object of a size.
func sized(namespace string, size int) *admissionv1.AdmissionRequest {
	return &admissionv1.AdmissionRequest{Namespace: namespace, Object: runtime.RawExtension{Raw: make([]byte, size)}}
}

// TestTurnsAreWeighed: large objects of a namespace wait for each other, however many come, and others do not for them.
func TestTurnsAreWeighed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		of := newTurns(1000, 10)
		first := turn(t, of, sized("flood", 4000))
		require.NotNil(t, first, "one that is larger than all has a turn, too")
		assert.Nil(t, turn(t, of, sized("flood", 1)), "and its namespace no other beside it")
		second := turn(t, of, sized("shop", 300))
		require.NotNil(t, second, "others have")
		assert.Nil(t, turn(t, of, sized("bank", 300)), "until there is no room")
		small := turn(t, of, sized("bank", 1))
		require.NotNil(t, small)
		assert.NotNil(t, turn(t, of, sized("bank", 1)))
		assert.Nil(t, turn(t, of, sized("pay", 1)), "a small one takes a place of so many")
		first()
		assert.NotNil(t, turn(t, of, sized("flood", 200)), "what is given back is had again")
		second()
		assert.NotContains(t, of.of, "shop", "nothing is kept of a namespace without a request")
		update := sized("old", 200)
		update.OldObject.Raw = make([]byte, 300)
		require.NotNil(t, turn(t, of, update))
		assert.Nil(t, turn(t, of, sized("old", 1)), "an update weighs both its objects")
	})
}

// turn is the turn of a request, nil where it had none until its client left.
func turn(t *testing.T, of *turns, req *admissionv1.AdmissionRequest) (done func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	done, _ = of.take(ctx, req)
	return done
}
