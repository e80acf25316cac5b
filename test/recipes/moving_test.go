package recipes

import (
	"testing"

	"github.com/google/cel-go/cel"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestTheTemplateOfGatekeeper lets pass what the document says that it does, and is no template that lets everything pass.
func TestTheTemplateOfGatekeeper(t *testing.T) {
	t.Parallel()
	var template struct {
		Spec struct {
			Targets []struct {
				Rego string `json:"rego"`
			} `json:"targets"`
		} `json:"spec"`
	}
	Read(t, "moving.md", "gatekeeper.yaml", &template)
	query, err := rego.New(rego.Query("data.allowedhosts.violation"), rego.SetRegoVersion(ast.RegoV0), rego.Module("template.rego", template.Spec.Targets[0].Rego)).PrepareForEval(t.Context())
	require.NoError(t, err)
	violations := func(object map[string]any) any {
		results, err := query.Eval(t.Context(), rego.EvalInput(map[string]any{
			"review": map[string]any{"object": object}, "parameters": map[string]any{"hosts": []any{"api.example.com"}},
		}))
		require.NoError(t, err)
		return results[0].Expressions[0].Value
	}
	for _, file := range []string{"entries/endpoint.yaml", "entries/route.yaml"} {
		var object map[string]any
		Read(t, "moving.md", file, &object)
		assert.Empty(t, violations(object), file)
	}
	assert.NotEmpty(t, violations(map[string]any{"spec": map[string]any{"hosts": []any{"other.example.net"}}}))
}

// TestTheExpressionOfKyverno denies both entries of the document, and none of TLS.
func TestTheExpressionOfKyverno(t *testing.T) {
	t.Parallel()
	var policy struct {
		Spec struct {
			Validations []struct {
				Expression string `json:"expression"`
			} `json:"validations"`
		} `json:"spec"`
	}
	Read(t, "moving.md", "kyverno.yaml", &policy)
	environment, err := cel.NewEnv(cel.Variable("object", cel.DynType))
	require.NoError(t, err)
	checked, issues := environment.Compile(policy.Spec.Validations[0].Expression)
	require.NoError(t, issues.Err())
	program, err := environment.Program(checked)
	require.NoError(t, err)
	for file, want := range map[string]bool{"entries/plain.yaml": false, "entries/internal.yaml": false, "entries/endpoint.yaml": true} {
		var object map[string]any
		Read(t, "moving.md", file, &object)
		got, _, err := program.Eval(map[string]any{"object": object})
		require.NoError(t, err)
		assert.Equal(t, want, got.Value(), file)
	}
}
