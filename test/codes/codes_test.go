package codes

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/policy"
	"github.com/egress-governor/egress-governor/internal/review"
	"github.com/egress-governor/egress-governor/policies"
)

func examples(t *testing.T) []*Example {
	t.Helper()
	out, err := Load("examples")
	require.NoError(t, err)
	return out
}

// TestExamplesGetTheirCodes, and that alone; mended, they are allowed.
func TestExamplesGetTheirCodes(t *testing.T) {
	t.Parallel()
	for _, example := range examples(t) {
		t.Run(example.name(), func(t *testing.T) {
			t.Parallel()
			got, err := example.Refused(t.Context())
			require.NoError(t, err)
			var codes []string
			for _, finding := range got.Findings {
				beside := example.Policy != "" && finding.Policy == "" // it cannot be expressed as a hop, either
				warned := finding.Effect == review.Warned && got.Verdict != review.Allowed
				if finding.Effect != review.Audited && !warned && !beside {
					codes = append(codes, finding.Code)
				}
			}
			slices.Sort(codes)
			assert.Equal(t, []string{example.Code}, slices.Compact(codes), "%v", got.Findings)
			assert.NotEmpty(t, got.Text)

			mended, err := example.Accepted(t.Context())
			require.NoError(t, err)
			assert.Equal(t, review.Allowed, mended.Verdict, mended.Text)
			assert.False(t, mended.Has(example.Code), "%v", mended.Findings)
		})
	}
}

// TestEveryCodeHasAnExample, and every example a code that is still there.
func TestEveryCodeHasAnExample(t *testing.T) {
	t.Parallel()
	want, err := Refusals("../..")
	require.NoError(t, err)
	require.Greater(t, len(want), 80)
	engine, err := policy.NewEngine(policies.Library())
	require.NoError(t, err)
	described, err := engine.Describe()
	require.NoError(t, err)
	for _, of := range described {
		for _, code := range of.Codes {
			want = append(want, of.Name+"."+code)
		}
	}
	var got []string
	for _, example := range examples(t) {
		got = append(got, example.name())
	}
	assert.ElementsMatch(t, want, got)
}
