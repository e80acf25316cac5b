package reliability

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// day is a bad one: something breaks while tenants apply and delete.
type day struct {
	name string
	// breaks what is broken, and returns when it is mended, or has to mend by itself.
	breaks func(ctx context.Context, t *testing.T)
	// may are the outcomes that requests may have, beside done. Nothing is ever stored ungoverned.
	may []outcome
	// pods says whether replicas may end that nobody told to.
	pods fate
}

// fate is what becomes of replicas on a day.
type fate bool

const (
	stay fate = false
	end  fate = true
)

// lives through a day: its requests had the outcomes that they may have, everything is stored as it must be, all replicas are ready,
// and the exits are those of the entries.
func (d day) lives(t *testing.T, l *load) {
	t.Helper()
	began, ended := time.Now(), world.ended.Load()
	d.breaks(t.Context(), t)
	mended := time.Now()
	require.NoError(t, until(t.Context(), func() error { return l.served(mended) }), "nobody recovers")
	served := time.Since(mended)
	require.NoError(t, world.settled(t.Context()))
	l.quietly(func() {
		require.NoError(t, l.sealed(t.Context(), world.plane.Client, "ServiceEntry"))
		require.NoError(t, until(t.Context(), func() error {
			return errors.Join(l.sealed(t.Context(), world.plane.Client, "ServiceEntry", "VirtualService"), l.standing(t.Context(), world.plane.Client))
		}))
		d.tell(t, began, l.since(began), served, time.Since(mended))
	})
	if d.pods == stay {
		assert.Equal(t, ended, world.ended.Load(), "a replica ended by itself")
	}
}

// served returns which tenant has nothing done that it sent since.
func (l *load) served(since time.Time) error {
	answers := l.since(since)
	for _, of := range l.tenants {
		if !slices.ContainsFunc(answers, func(a answer) bool {
			return a.outcome == done && a.at.After(since) && strings.Contains(a.what, " "+of.namespace+"/")
		}) {
			return fmt.Errorf("%s is not served: %+v", of.namespace, answers[max(0, len(answers)-1):])
		}
	}
	return nil
}

// tell judges the answers of a day, and reports them.
func (d day) tell(t *testing.T, began time.Time, answers []answer, served, well time.Duration) {
	t.Helper()
	counts, said := map[outcome]int{}, map[string]int{}
	last, gap := began, time.Duration(0)
	for _, a := range answers {
		counts[a.outcome]++
		if a.outcome != done {
			said[string(a.outcome)+": "+reason(a.said)]++
			continue
		}
		at := a.at.Add(a.took)
		gap, last = max(gap, at.Sub(last)), at
	}
	tell(t, "| %s | %d | %d | %d | %d | %s | %s | %s |", d.name, len(answers), counts[closed], counts[unreachable], counts[refused]+counts[overdue],
		round(gap), round(served), round(well))
	for what, n := range said {
		t.Logf("%5d %s", n, what)
	}
	for _, outcome := range []outcome{closed, unreachable, refused, overdue, ungoverned} {
		if !slices.Contains(d.may, outcome) {
			assert.Zero(t, counts[outcome], "requests were %s", outcome)
		}
	}
	assert.Positive(t, counts[done])
}

// reason is what is said without what differs each time.
func reason(said string) string {
	fields := strings.FieldsFunc(said, func(r rune) bool { return r == ' ' })
	for i, field := range fields {
		if strings.ContainsAny(field, "0123456789") {
			fields[i] = "…"
		}
	}
	return strings.Join(fields, " ")
}

func round(d time.Duration) time.Duration { return d.Round(100 * time.Millisecond) }
