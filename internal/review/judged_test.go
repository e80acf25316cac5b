package review

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/policy"
)

// TestTheTypesNameTheKindsOfTheTable: all of them, and those that are governed without being asked for.
func TestTheTypesNameTheKindsOfTheTable(t *testing.T) {
	t.Parallel()
	var all, always []v1alpha1.Kind
	for _, kind := range Kinds() {
		all = append(all, v1alpha1.Kind(kind))
		resource, known := ResourceOf(kind)
		require.True(t, known)
		assert.NotEmpty(t, resource.Versions, kind)
		if !resource.Asked {
			always = append(always, v1alpha1.Kind(kind))
		}
	}
	assert.Equal(t, all, v1alpha1.Kinds)
	assert.Equal(t, always, v1alpha1.DefaultKinds)
}

// TestAJudgedKindIsStoredAsWritten, and policies see it and decide.
func TestAJudgedKindIsStoredAsWritten(t *testing.T) {
	t.Parallel()
	for _, kind := range Kinds() {
		resource, _ := ResourceOf(kind)
		if !resource.Asked {
			continue
		}
		in := object(t, fmt.Sprintf("apiVersion: %s/%s\nkind: %s\nmetadata: {name: x, namespace: payments}\nspec: {any: [1]}", resource.Group, resource.Versions[0], kind))
		asked := &policies{decision: policy.Decision{Denied: []policy.Violation{{Policy: "p", Message: "no"}}}}
		r := newReviewer()
		r.Policies = asked
		out, err := r.Rewrite(create(in.DeepCopy()))
		require.NoError(t, err)
		assert.Equal(t, in, out, kind)
		outcome, err := r.Review(t.Context(), create(in.DeepCopy()))
		require.NoError(t, err)
		assert.Equal(t, Denied, outcome.Verdict, kind)
		require.Len(t, asked.asked, 1)
		assert.Equal(t, kind, asked.asked[0].Kind)
		assert.Equal(t, in.Object, asked.asked[0].Document["object"])
	}
}

// TestAJudgedKindIsBounded before policies see it.
func TestAJudgedKindIsBounded(t *testing.T) {
	t.Parallel()
	in := object(t, "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: x, namespace: payments}\nspec: {egress: [{hosts: ["+strings.Repeat("a,", maxPairs)+"]}]}")
	outcome, err := newReviewer().Review(t.Context(), create(in))
	require.NoError(t, err)
	require.Equal(t, Refused, outcome.Verdict)
	assert.Equal(t, "too-large", outcome.Findings[0].Code)
}
