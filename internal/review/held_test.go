package review

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/internal/policy"
)

const straight = "{hosts: [new.example.com], resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}"

// held is the entry as somebody has it who asks for its exit.
func held(t *testing.T, spec string) *unstructured.Unstructured {
	t.Helper()
	out := entry(t, spec)
	out.SetAnnotations(map[string]string{hop.ExitAnnotation: hop.ExitHeld})
	return out
}

func updating(object, old *unstructured.Unstructured) Request {
	out := create(object)
	out.Operation, out.Old = Update, old
	return out
}

// TestAHeldEntryStaysAndIsJudgedAsSealed: whoever may not have it sealed may not have its exit.
func TestAHeldEntryStaysAndIsJudgedAsSealed(t *testing.T) {
	t.Parallel()
	r := newReviewer()
	req := stored(t, r, updating(held(t, straight), entry(t, straight)))
	assert.Equal(t, held(t, straight).Object, req.Object.Object, "as it is stored")
	outcome, err := r.Review(t.Context(), req)
	require.NoError(t, err)
	assert.Equal(t, Allowed, outcome.Verdict, outcome.Message())
	assert.Equal(t, []string{`metadata.annotations[egress-governor.io/exit]: its exit at egress gateway "default" is made, and the entry stays as it is until it is written without this`}, outcome.Warnings())
	require.Len(t, outcome.Facts.Routes, 1)
	assert.Equal(t, "gateway", outcome.Facts.Routes[0].Via, "policies see what it will be")

	r.Policies = &policies{decision: policy.Decision{Denied: []policy.Violation{{Policy: "p", Code: "no", Message: "no"}}}}
	outcome, err = r.Review(t.Context(), req)
	require.NoError(t, err)
	assert.Equal(t, Denied, outcome.Verdict)

	r.Policies = &policies{}
	tcp := `{hosts: [new.example.com], resolution: DNS, ports: [{number: 5432, name: tcp, protocol: TCP}]}`
	_, err = r.Rewrite(updating(held(t, tcp), entry(t, tcp)))
	var refusals Refusals
	require.ErrorAs(t, err, &refusals, "what cannot be sealed has no exit")
	outcome, err = r.Review(t.Context(), updating(held(t, tcp), entry(t, tcp)))
	require.NoError(t, err)
	assert.Equal(t, Refused, outcome.Verdict)
}

// TestNothingIsHeldStraightThatWasNot, whoever asks for it.
func TestNothingIsHeldStraightThatWasNot(t *testing.T) {
	t.Parallel()
	r := newReviewer()
	sealed := stored(t, r, create(entry(t, straight))).Object
	other := "{hosts: [new.example.com, other.example.com], resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}"
	for name, req := range map[string]Request{
		"a new one":                          create(held(t, straight)),
		"one that was sealed":                updating(held(t, straight), sealed),
		"one that changes":                   updating(held(t, other), entry(t, straight)),
		"one that was the mesh's":            updating(held(t, straight), entry(t, "{hosts: [new.example.com], location: MESH_INTERNAL, resolution: STATIC, ports: [{number: 443, name: tls, protocol: TLS}]}")),
		"one whose annotation says too much": updating(held(t, other), held(t, straight)),
		"one that asks for something else": func() Request {
			out := updating(held(t, straight), entry(t, straight))
			out.Object.SetAnnotations(map[string]string{hop.ExitAnnotation: "held"})
			return out
		}(),
	} {
		out, err := r.Rewrite(req)
		require.NoError(t, err, name)
		_, is := hop.SealedTo(out, r.Mesh)
		assert.True(t, is, name)
		past := req
		past.Object = req.Object.DeepCopy()
		outcome, err := r.Review(t.Context(), past)
		require.NoError(t, err, name)
		assert.Equal(t, Refused, outcome.Verdict, "%s, past the rewrite", name)
	}
}

// TestWhatWasStoredStraightHasNoExitYet: it is sealed only where its exit would be its own, whatever was stored before.
func TestWhatWasStoredStraightHasNoExitYet(t *testing.T) {
	t.Parallel()
	r := newReviewer()
	taken := "{hosts: [api.example.com], resolution: DNS, ports: [{number: 443, name: http, protocol: HTTP}]}"
	for name, req := range map[string]Request{
		"applied again": updating(entry(t, taken), entry(t, taken)), "held": updating(held(t, taken), entry(t, taken)),
	} {
		outcome, err := r.Review(t.Context(), stored(t, r, req))
		require.NoError(t, err)
		assert.Contains(t, codes(outcome), "host-conflict spec.hosts[0]", name)
	}
}
