package codes

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
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
	for _, first := range examples(t) {
		for _, example := range append([]*Example{first}, first.Further...) {
			t.Run(strings.TrimSuffix(example.name()+"/"+example.When, "/"), func(t *testing.T) {
				t.Parallel()
				getsItsCode(t, example)
			})
		}
	}
}

func getsItsCode(t *testing.T, example *Example) {
	t.Helper()
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
	assert.Contains(t, got.Text, example.Fix, "what is mended follows the answer")

	mended, err := example.Accepted(t.Context())
	require.NoError(t, err)
	assert.Equal(t, review.Allowed, mended.Verdict, mended.Text)
	assert.False(t, mended.Has(example.Code), "%v", mended.Findings)
	for _, call := range mended.Calls {
		assert.True(t, call.Leaves(), "%+v", call)
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

// TestACodeThatCannotBeReadIsAnError: one that is put together would have no page, and nothing would say so.
func TestACodeThatCannotBeReadIsAnError(t *testing.T) {
	t.Parallel()
	for source, want := range map[string][]string{
		`func f() { out.add("a-code", path, "m", "f"); out.add(CodeOther, path, "m", "f") }; const codeThird = "third"`: {"a-code", "third"},
		`var of = Finding{Code: "b-code"}; var same = Finding{Code: other.Code}`:                                        {"b-code"},
		`var of = metav1.Status{Code: http.StatusConflict}; var same = Finding{Code: "c-code"}`:                         {"c-code"},
		`func f() { out.add("a-"+kind, path, "m", "f") }`:                                                               nil,
		`var of = Finding{Code: codes[0]()}`:                                                                            nil,
	} {
		file := filepath.Join(t.TempDir(), "x.go")
		require.NoError(t, os.WriteFile(file, []byte("package hop\n"+source), 0o600))
		got, err := codesOf(file)
		if want == nil {
			require.ErrorContains(t, err, "write the code as a string", source)
			continue
		}
		require.NoError(t, err, source)
		assert.Equal(t, want, got)
	}
}
