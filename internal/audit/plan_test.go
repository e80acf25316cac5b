package audit

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/types"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/review"
)

// violating are entries that policies say something of, each named after its first policy.
func violating(entries int, effect review.Effect, policies ...string) map[objectKey]judged {
	out := map[objectKey]judged{}
	for i := range entries {
		of := judged{sealed: true}
		for _, policy := range policies {
			of.findings = append(of.findings, review.Finding{Finding: egress.Finding{Message: "no"}, Effect: effect, Policy: policy})
		}
		out[objectKey{serviceEntry, "app", fmt.Sprintf("%s%d", policies[0], i)}] = of
	}
	return out
}

func together(of ...map[objectKey]judged) map[objectKey]judged {
	out := map[objectKey]judged{}
	for _, some := range of {
		for key, value := range some {
			out[key] = value
		}
	}
	return out
}

func TestWhatIsSuspended(t *testing.T) {
	t.Parallel()
	suspends := map[string]policyState{"a": {suspends: true}, "b": {suspends: true}, "sure": {suspends: true, confirmed: true}, "reports": {}}
	route := objectKey{"VirtualService", "app", "r"}
	for name, tc := range map[string]struct {
		found     map[objectKey]judged
		last      []string
		suspended int
		held      map[string]int
	}{
		"what a policy denies":                {violating(5, review.Denied, "a"), nil, 5, nil},
		"not what one that reports denies":    {violating(5, review.Denied, "reports"), nil, 0, nil},
		"not what is only warned of":          {violating(5, review.Warned, "a"), nil, 0, nil},
		"not what cannot be told":             {violating(5, review.Failed, "a"), nil, 0, nil},
		"what was, and cannot be told":        {violating(2, review.Failed, "a"), []string{"a0", "a1"}, 2, nil},
		"not what is mended":                  {violating(1, review.Denied, "a"), []string{"a0", "a1"}, 1, nil},
		"none of too many":                    {violating(6, review.Denied, "a"), nil, 0, map[string]int{"a": 6}},
		"what was, beside too many":           {violating(8, review.Denied, "a"), []string{"a0", "a1"}, 2, map[string]int{"a": 6}},
		"those of others, beside too many":    {together(violating(6, review.Denied, "a"), violating(2, review.Denied, "b")), nil, 2, map[string]int{"a": 6}},
		"no more than so many of all":         {together(violating(3, review.Denied, "a"), violating(4, review.Denied, "b")), nil, 3, map[string]int{"b": 4}},
		"once what several deny":              {violating(5, review.Denied, "a", "b"), nil, 5, nil},
		"all of one that is confirmed":        {violating(9, review.Denied, "sure"), nil, 9, nil},
		"what is confirmed takes no room":     {together(violating(9, review.Denied, "sure"), violating(5, review.Denied, "a")), nil, 14, nil},
		"none that is held by one of several": {violating(6, review.Denied, "a", "b"), nil, 0, map[string]int{"a": 6, "b": 6}},
		"entries alone":                       {map[objectKey]judged{route: violating(1, review.Denied, "a")[objectKey{serviceEntry, "app", "a0"}]}, nil, 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			last := map[types.NamespacedName]string{}
			for _, entry := range tc.last {
				last[types.NamespacedName{Namespace: "app", Name: entry}] = "as before"
			}
			next, held, _ := plan(tc.found, last, suspends, 5)
			assert.Len(t, next, tc.suspended)
			if tc.held == nil {
				tc.held = map[string]int{}
			}
			assert.Equal(t, tc.held, held)
		})
	}
}

// TestWhyAnEntryIsSuspended is the policy's sentence, on one line; the last one while it cannot be told.
func TestWhyAnEntryIsSuspended(t *testing.T) {
	t.Parallel()
	found := violating(1, review.Denied, "a")
	key := objectKey{serviceEntry, "app", "a0"}
	found[key].findings[0].Fix = "ask"
	next, _, _ := plan(found, nil, map[string]policyState{"a": {suspends: true}}, 5)
	assert.Equal(t, map[types.NamespacedName]string{key.name(): "a: no. Fix: ask"}, next)
	next, _, _ = plan(violating(1, review.Failed, "a"), next, map[string]policyState{"a": {suspends: true}}, 5)
	assert.Equal(t, "a: no. Fix: ask", next[key.name()])
}
