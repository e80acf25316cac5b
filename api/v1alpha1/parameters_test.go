package v1alpha1_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
)

// TestParametersLieOverThoseThatAreShared: the policy's own win, key by key, and nothing of what was given is changed.
func TestParametersLieOverThoseThatAreShared(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ own, shared, want string }{
		{"", "hosts: [a, b]\nwarnDays: 14\n", `{"hosts":["a","b"],"warnDays":14}`},
		{`{"hosts":["c"]}`, "hosts: [a, b]\nwarnDays: 14\n", `{"hosts":["c"],"warnDays":14}`},
		{`{"hosts":null}`, `{"hosts": ["a"]}`, `{"hosts":null}`},
		{`{"a":{"b":1}}`, "a: {b: 2, c: {d: 3}}", `{"a":{"b":1,"c":{"d":3}}}`},
		{`{"a":1}`, "a: {b: 2}", `{"a":1}`},
		{`{"a":{"b":2}}`, "a: 1", `{"a":{"b":2}}`},
		{`{}`, `{}`, `{}`},
	} {
		p := &v1alpha1.EgressPolicy{Spec: v1alpha1.EgressPolicySpec{ParametersFrom: &v1alpha1.ParametersSource{ConfigMap: "c", Key: "k"}}}
		if tc.own != "" {
			p.Spec.Parameters = &apiextensionsv1.JSON{Raw: []byte(tc.own)}
		}
		before := p.DeepCopy()
		got, err := p.WithParameters(tc.shared)
		require.NoError(t, err)
		assert.JSONEq(t, tc.want, string(got.Spec.Parameters.Raw))
		assert.Nil(t, got.Spec.ParametersFrom, "they are read")
		assert.Equal(t, before, p)
	}
	for _, text := range []string{"", "null", "[a]", "a", "a: 1\na: 2", "{", "\t"} {
		_, err := (&v1alpha1.EgressPolicy{}).WithParameters(text)
		require.Error(t, err, text)
	}
}
