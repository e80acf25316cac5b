package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/internal/review"
	"github.com/egress-governor/egress-governor/test/controlplane"
)

// Whatever a test writes is asked of egressctl, too: the clients of a control plane tell what they send and what the API server answers,
// and both answers must be the same, word for word.

// alongside is one control plane's.
type alongside struct {
	mirror *mirror
	// now are the names of tests during which nothing is compared, with the reason.
	lock    sync.Mutex
	excused map[string]string
	users   map[string]review.User
	tally   tally
}

// tally counts what was compared and what was not, by why.
type tally struct {
	compared, again map[string]int
	left            map[string]int
	spent           time.Duration
	differences     int
}

// planes are all control planes that are compared.
var planes struct {
	sync.Mutex
	all []*alongside
}

// compared has every client that is made of a control plane from now on be compared.
func compared(ctx context.Context, of *controlplane.ControlPlane) (*alongside, error) {
	plain := rest.CopyConfig(of.Config)
	plain.QPS = -1
	mirrored, err := newMirror(ctx, plain)
	if err != nil {
		return nil, err
	}
	out := &alongside{mirror: mirrored, excused: map[string]string{}, users: map[string]review.User{}, tally: tally{compared: map[string]int{}, again: map[string]int{}, left: map[string]int{}}}
	of.Config = rest.CopyConfig(of.Config)
	of.Config.Wrap(func(next http.RoundTripper) http.RoundTripper { return &teller{alongside: out, next: next} })
	of.Client, err = client.New(of.Config, client.Options{Scheme: of.Client.Scheme()})
	planes.Lock()
	planes.all = append(planes.all, out)
	planes.Unlock()
	return out, err
}

// comparing is compared for a control plane of a test's own.
func comparing(t *testing.T, of *controlplane.ControlPlane) {
	t.Helper()
	ctx, end := context.WithCancel(context.WithoutCancel(t.Context()))
	t.Cleanup(end)
	_, err := compared(ctx, of)
	require.NoError(t, err)
}

// alike requires that something is compared while a function writes, and that no answer differs.
func alike(t *testing.T, writes func()) {
	t.Helper()
	count := func() (compared, differed int) {
		beside.lock.Lock()
		defer beside.lock.Unlock()
		for _, times := range beside.tally.compared {
			compared += times
		}
		return compared, beside.tally.differences
	}
	before, already := count()
	writes()
	after, now := count()
	assert.Greater(t, after, before+20)
	assert.Equal(t, already, now, "answers differ")
}

// unanswered says why the answers during a test are not the webhook's. It is for tests that are not parallel.
func (a *alongside) unanswered(t *testing.T, why string) {
	t.Helper()
	a.lock.Lock()
	defer a.lock.Unlock()
	a.excused[t.Name()] = why
	t.Cleanup(func() {
		a.lock.Lock()
		defer a.lock.Unlock()
		delete(a.excused, t.Name())
	})
}

// excuse returns why nothing is compared now, empty where it is.
func (a *alongside) excuse() string {
	a.lock.Lock()
	defer a.lock.Unlock()
	for _, name := range slices.Sorted(maps.Keys(a.excused)) {
		return name + ": " + a.excused[name]
	}
	return ""
}

// teller is the way of one client to the API server.
type teller struct {
	*alongside
	next http.RoundTripper
}

// WrappedRoundTripper lets client-go find what is below.
func (t *teller) WrappedRoundTripper() http.RoundTripper { return t.next }

var requests = &request.RequestInfoFactory{APIPrefixes: sets.NewString("api", "apis"), GrouplessAPIPrefixes: sets.NewString("api")}

// asking are resources that are questions and not objects.
var asking = []string{"tokenreviews", "subjectaccessreviews", "selfsubjectaccessreviews", "selfsubjectreviews", "selfsubjectrulesreviews", "localsubjectaccessreviews"}

// RoundTrip implements http.RoundTripper.
func (t *teller) RoundTrip(of *http.Request) (*http.Response, error) {
	if !slices.Contains([]string{http.MethodPost, http.MethodPut, http.MethodPatch}, of.Method) {
		return t.next.RoundTrip(of)
	}
	info, err := requests.NewRequestInfo(of)
	if err != nil || !info.IsResourceRequest || slices.Contains(asking, info.Resource) {
		return t.next.RoundTrip(of)
	}
	why := t.excuse()
	if info.Subresource != "" {
		why = "subresource " + info.Subresource
	}
	if why != "" {
		t.leave(why)
		return t.next.RoundTrip(of)
	}
	return t.compare(of, info)
}

func (t *teller) leave(why string) {
	t.lock.Lock()
	defer t.lock.Unlock()
	t.tally.left[why]++
}

// compare sends a request, and holds the answer to egressctl's.
func (t *teller) compare(of *http.Request, info *request.RequestInfo) (*http.Response, error) {
	raw, err := io.ReadAll(of.Body)
	if err != nil {
		return nil, err
	}
	_ = of.Body.Close()
	began := time.Now()
	ctx := context.WithoutCancel(of.Context())
	user, err := t.user(ctx, of)
	if err != nil {
		return nil, err
	}
	sent, why, err := t.mirror.sent(ctx, of, info, raw, user)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", of.Method, of.URL.Path, err)
	}
	var ours verdict
	if why == "" {
		if ours, err = t.mirror.answer(ctx, sent); err != nil {
			t.differ(info, fmt.Sprintf("egressctl cannot answer: %v\n%s", err, raw))
			return t.next.RoundTrip(again(of, raw, false))
		}
	}
	t.spend(began)
	response, err := t.next.RoundTrip(again(of, raw, false))
	if err != nil {
		t.leave("no answer")
		return response, err
	}
	began = time.Now()
	defer t.spend(began)
	theirs, err := heard(response)
	if err != nil {
		return response, err
	}
	if why == "" {
		why = theirs.none(sent)
	}
	if why != "" {
		t.leave(why)
		return response, nil
	}
	t.settle(ctx, of, info, raw, sent, ours, theirs)
	return response, nil
}

// settle compares two answers. Either side may hear of what others do a moment later, so both are asked again before they differ: of
// what was not stored by the same request, and of what was by the same object in its place.
func (t *teller) settle(ctx context.Context, of *http.Request, info *request.RequestInfo, raw []byte, sent *sent, ours, theirs verdict) {
	stored := theirs.stored() && !sent.dry
	for deadline, tries := time.Now().Add(5*time.Second), 0; ; tries++ {
		if t.mirror.same(ctx, sent, &ours, theirs) || stored && tries > 3 && t.mirror.sameInPlace(ctx, of, t.next, sent) {
			t.count(info.Verb+" "+info.Resource, tries > 0)
			return
		}
		why := t.excuse()
		if why == "" && time.Now().After(deadline) {
			t.differ(info, fmt.Sprintf("%s %s by %s\nAPI server:\n%s\negressctl:\n%s\nsent:\n%s", of.Method, of.URL.RequestURI(), sent.by.User.Name, theirs.text(), ours.text(), short(raw)))
			return
		}
		time.Sleep(min(100*time.Millisecond, 10*time.Millisecond<<min(tries, 4)))
		var err error
		if why == "" && !stored {
			var response *http.Response
			if response, err = t.next.RoundTrip(again(of.WithContext(ctx), raw, true)); err == nil {
				theirs, err = heard(response)
			}
			err = errors.Join(err, t.mirror.stand(ctx, sent))
			why = theirs.none(sent)
		}
		if err == nil && why == "" {
			ours, err = t.mirror.answer(ctx, sent)
		}
		if err != nil {
			t.differ(info, err.Error())
			return
		}
		if why != "" {
			t.leave(why)
			return
		}
	}
}

func (t *teller) count(what string, again bool) {
	t.lock.Lock()
	defer t.lock.Unlock()
	t.tally.compared[what]++
	if again {
		t.tally.again[what]++
	}
}

// again returns a request once more, and only asks where that is said.
func again(of *http.Request, raw []byte, dry bool) *http.Request {
	out := of.Clone(of.Context())
	out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(raw)), int64(len(raw))
	out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(raw)), nil }
	if dry {
		query := out.URL.Query()
		query.Set("dryRun", "All")
		out.URL.RawQuery = query.Encode()
	}
	return out
}

func short(raw []byte) string {
	if len(raw) > 3000 {
		return string(raw[:3000]) + "…"
	}
	return string(raw)
}

func (t *teller) spend(since time.Time) {
	t.lock.Lock()
	defer t.lock.Unlock()
	t.tally.spent += time.Since(since)
}

// differ keeps a difference, with the place of the test.
func (t *teller) differ(info *request.RequestInfo, what string) {
	at := "somewhere"
	callers := make([]uintptr, 60)
	frames := runtime.CallersFrames(callers[:runtime.Callers(2, callers)])
	for frame, more := frames.Next(); more; frame, more = frames.Next() {
		if file := filepath.Base(frame.File); strings.HasSuffix(file, "_test.go") && !slices.Contains([]string{"alongside_test.go", "mirror_test.go", "sent_test.go", "tally_test.go", "verdict_test.go"}, file) {
			at = fmt.Sprintf("%s:%d", file, frame.Line)
			break
		}
	}
	t.lock.Lock()
	defer t.lock.Unlock()
	t.tally.differences++
	fmt.Fprintf(os.Stderr, "--- egressctl review and the API server differ: %s: %s %s/%s: %s\n\n", at, info.Resource, info.Namespace, info.Name, what)
}
