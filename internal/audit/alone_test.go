package audit

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/types"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
)

// suspensions keeps each set of entries that was suspended.
type suspensions struct {
	Entries
	sets [][]types.NamespacedName
}

func (s *suspensions) Suspend(next map[types.NamespacedName]string) {
	s.sets = append(s.sets, slices.Collect(maps.Keys(next)))
	s.Entries.Suspend(next)
}

// pagesOf is a stage with the entry app/a, of a host that a policy suspends, and two pages of entries that nothing is wrong with.
func pagesOf(t *testing.T) (*stage, *tallied, *suspensions) {
	t.Helper()
	s := observing(t)
	s.store("app", "a", "evil.test")
	for i := range 110 {
		s.store("app", fmt.Sprintf("e%03d", i), "ok.test")
	}
	s.hosts("p", 1, v1alpha1.Suspend, "ok.test")
	judge, kept := &tallied{of: s.Reviewer, times: map[string]int{}}, &suspensions{Entries: s.registry}
	s.Reviewer, s.Entries = judge, kept
	return s, judge, kept
}

// mended has an entry mended, and that noticed.
func (s *stage) mended(name string) {
	s.t.Helper()
	s.mend(name)
	s.Touched(serviceEntry, "app", name)
}

// TestAMendedEntryWaitsForNoPass: its exit is back before the next page, or before what is observed is judged, and is not taken for what
// the page says that was read before.
func TestAMendedEntryWaitsForNoPass(t *testing.T) {
	t.Parallel()
	for name, when := range map[string]struct{ mended, back string }{
		"while entries are judged":       {"e000", "e109"},
		"while routes are":               {"r000", "r109"},
		"just before what is observed":   {"r109", "o000"},
		"while what is observed is told": {"o000", "o109"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, judge, kept := pagesOf(t)
			for i := range 110 {
				s.route("app", fmt.Sprintf("r%03d", i), "ok.test", "ok.test")
				s.put("shop", fmt.Sprintf("o%03d", i), strings.ReplaceAll(plainEntry, "HOST", "ok.test"))
			}
			s.audited()
			require.Len(t, s.registry.Suspensions(), 1)
			seen := false
			look := func(name string) {
				if name == when.mended {
					s.mended("a")
					kept.sets = nil
				}
				if name == when.back {
					seen = true
					assert.Empty(t, s.registry.Suspensions(), "it is back")
				}
			}
			judge.before = look
			s.adopting(look)
			s.audited()
			assert.True(t, seen)
			require.NotEmpty(t, kept.sets)
			for _, set := range kept.sets {
				assert.Empty(t, set, "it is suspended no more")
			}
			assert.NotContains(t, s.found, objectKey{serviceEntry, "app", "a"})
		})
	}
}

// TestAnEntryThatWasMendedInTimeIsNotSuspended: it was read before, and is judged before anything is closed.
func TestAnEntryThatWasMendedInTimeIsNotSuspended(t *testing.T) {
	t.Parallel()
	s, judge, kept := pagesOf(t)
	judge.before = func(name string) {
		if name == "e109" {
			s.mended("a")
		}
	}
	s.audited()
	require.NotEmpty(t, kept.sets)
	for _, set := range kept.sets {
		assert.Empty(t, set)
	}
}

// TestWritersDoNotHoldAPassUp: of what they touch a page at most is judged before each page.
func TestWritersDoNotHoldAPassUp(t *testing.T) {
	t.Parallel()
	s, judge := many(t)
	s.audited()
	clear(judge.times)
	judged, second := 0, 0
	judge.before = func(name string) {
		if name == "e000" && judged == 0 {
			for i := range 250 {
				s.Touched(serviceEntry, "app", fmt.Sprintf("e%03d", i))
			}
		}
		if judged++; name == "e100" && second == 0 && s.live.pages["ServiceEntryList"] == 5 {
			second = judged
		}
	}
	s.audited()
	assert.LessOrEqual(t, second, 2*pageSize+1)
	assert.Len(t, s.found, 250)
}

// TestWhatCannotBeReadAmidAPassIsReadAfterIt, and the pass ends all the same.
func TestWhatCannotBeReadAmidAPassIsReadAfterIt(t *testing.T) {
	t.Parallel()
	s, judge, _ := pagesOf(t)
	s.audited()
	s.live.unread = unavailable
	judge.before = func(name string) {
		if name == "e000" {
			s.mended("a")
		}
	}
	s.audited()
	assert.Len(t, s.registry.Suspensions(), 1)
	s.live.unread = nil
	require.NoError(t, s.changes(t.Context()))
	assert.Empty(t, s.registry.Suspensions())
}
