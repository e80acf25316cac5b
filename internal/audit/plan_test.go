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

// in has entries in another namespace, of the same hosts or of one each.
func in(namespace string, of map[objectKey]judged, hosts ...string) map[objectKey]judged {
	out := map[objectKey]judged{}
	for key, value := range of {
		key.Namespace, value.hosts = namespace, hosts
		out[key] = value
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

// chained are entries each of which has a host of the next.
func chained(entries int) map[objectKey]judged {
	out := violating(entries, review.Denied, "a")
	for i := range entries {
		key := objectKey{serviceEntry, "app", fmt.Sprintf("a%d", i)}
		of := out[key]
		of.hosts = []string{fmt.Sprintf("h%d.test", i), fmt.Sprintf("h%d.test", (i+1)%entries)}
		out[key] = of
	}
	return out
}

// TestWhatIsSuspendedCountsAsItsExits: copies take no room from those that come after.
func TestWhatIsSuspendedCountsAsItsExits(t *testing.T) {
	t.Parallel()
	_, _, spent := plan(in("app", violating(9, review.Denied, "a"), "exfil.test"), nil, map[string]policyState{"a": {suspends: true}}, 5)
	assert.Equal(t, []types.NamespacedName{{Namespace: "app", Name: "a0"}}, spent)
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
		"copies as one":                       {in("app", violating(9, review.Denied, "a"), "exfil.test"), nil, 9, nil},
		"copies, each with the next":          {chained(9), nil, 9, nil},
		"none but of whom there are most":     {together(violating(3, review.Denied, "a"), in("evil", violating(9, review.Denied, "a"))), nil, 3, map[string]int{"a": 9}},
		"none where there are many without":   {together(violating(6, review.Denied, "a"), in("evil", violating(9, review.Denied, "a"))), nil, 0, map[string]int{"a": 15}},
		"a host of several namespaces, each":  {together(in("app", violating(3, review.Denied, "a"), "x.test"), in("b", violating(1, review.Denied, "a"), "x.test"), in("c", violating(1, review.Denied, "a"), "x.test")), nil, 5, nil},
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
