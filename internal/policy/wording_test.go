package policy_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/policy"
	"github.com/egress-governor/egress-governor/policies"
)

const worded = `
deny contains {"msg": "first", "code": "one", "fix": "mend", "field": "spec"}
deny contains {"msg": "second", "code": "two"}
deny contains "plain"
warn contains {"msg": "third", "code": "one"}
`

// TestAnOperatorHasHisWords: docs stand beside everything that a policy says, and messages in the place of the sentences of
// their codes.
func TestAnOperatorHasHisWords(t *testing.T) {
	t.Parallel()
	const page = "https://wiki.example.com/egress?of=p#hosts"
	e := engine(t)
	p := inline("p", worded)
	p.Spec.Docs, p.Spec.Messages = page, map[string]v1alpha1.Message{"one": "Ask first."}
	require.NoError(t, e.Set(p))
	assert.Equal(t, policy.Decision{
		Denied: []policy.Violation{
			{Policy: "p", Message: "plain", Docs: page}, {Policy: "p", Code: "two", Message: "second", Docs: page},
			{Policy: "p", Code: "one", Field: "spec", Message: "Ask first.", Fix: "mend", Docs: page},
		},
		Warned: []policy.Violation{{Policy: "p", Code: "one", Message: "Ask first.", Docs: page}},
		Asked:  []string{"p"},
	}, e.Evaluate(t.Context(), review("x")))

	for _, enforcement := range []v1alpha1.Enforcement{v1alpha1.Deny, v1alpha1.Warn} {
		broken := inline("p", `deny contains "no" if to_number(input.name) == 1`)
		broken.Spec.Docs, broken.Spec.Enforcement = page, enforcement
		require.NoError(t, e.Set(broken))
		got := e.Evaluate(t.Context(), review("x"))
		if enforcement == v1alpha1.Deny {
			assert.Equal(t, page, got.Failed[0].Docs)
		} else {
			assert.Equal(t, page, got.Warned[0].Docs)
		}
	}
}

// TestWordsThatNobodyWouldReadAreRefused, with the codes that there are.
func TestWordsThatNobodyWouldReadAreRefused(t *testing.T) {
	t.Parallel()
	for says, spec := range map[string]v1alpha1.EgressPolicySpec{
		`spec.docs: must be an https URL, is "http://wiki"`:                         {Docs: "http://wiki"},
		`spec.docs: must be an https URL, is "https:///x"`:                          {Docs: "https:///x"},
		`spec.docs: must be an https URL, is "https://wiki/a b"`:                    {Docs: "https://wiki/a b"},
		`spec.messages.one: a message is a sentence on one line, without %`:         {Messages: map[string]v1alpha1.Message{"one": "%s"}},
		`spec.messages.two: a message is a sentence on one line, without %`:         {Messages: map[string]v1alpha1.Message{"one": "x", "two": "a\nb"}},
		`spec.messages: no rule of the policy has the code "three"; it has one, tw`: {Messages: map[string]v1alpha1.Message{"one": "x", "three": "x"}},
	} {
		p := inline("p", worded)
		p.Spec.Docs, p.Spec.Messages = spec.Docs, spec.Messages
		require.ErrorContains(t, engine(t).Check(p), says)
	}
	bare := inline("p", `deny contains "plain"`)
	bare.Spec.Messages = map[string]v1alpha1.Message{"one": "x"}
	require.ErrorContains(t, engine(t).Check(bare), `no rule of the policy has a code, and none "one"`)
	open := inline("p", `deny contains {"msg": "x", "code": input.name}`)
	open.Spec.Messages = bare.Spec.Messages
	require.NoError(t, engine(t).Check(open), "its codes are not known")
}

// TestTheLibrarysCodesAreKnown: each takes a message for each of its codes, and a policy says nothing under a code that it
// does not name.
func TestTheLibrarysCodesAreKnown(t *testing.T) {
	t.Parallel()
	e, err := policy.NewEngine(policies.Library())
	require.NoError(t, err)
	described, err := e.Describe()
	require.NoError(t, err)
	known := map[string][]string{}
	for _, of := range described {
		assert.NotEmpty(t, of.Codes, of.Name)
		known[of.Name] = of.Codes
	}
	assert.Equal(t, []string{"host-not-allowed"}, known["allowed-hosts"])
	p := egressPolicy("p", v1alpha1.EgressPolicySpec{
		Policy: "allowed-hosts", Parameters: parameters(`{"hosts": []}`), Messages: map[string]v1alpha1.Message{"host-not-allowed": "Hosts are listed on the wiki"},
	})
	require.NoError(t, e.Set(p))
	got := e.Evaluate(t.Context(), policy.Review{Kind: "ServiceEntry", Document: map[string]any{"egress": map[string]any{"hosts": []any{
		map[string]any{"host": "evil.io", "patterns": []any{"evil.io"}, "leaves": true, "field": "spec.hosts[0]"},
	}}}})
	require.Len(t, got.Denied, 1)
	assert.Equal(t, "Hosts are listed on the wiki", got.Denied[0].Message)
	assert.NotEmpty(t, got.Denied[0].Fix)
	p.Spec.Messages = map[string]v1alpha1.Message{"host-allowed": "x"}
	require.ErrorContains(t, e.Check(p), `no rule of the policy has the code "host-allowed"; it has host-not-allowed`)
}
