package apiserver

import (
	"sync"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions"
	"k8s.io/apiserver/pkg/cel/environment"
)

var celEnvironment = sync.OnceValue(func() *environment.EnvSet {
	return environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion())
})

// compile makes of a policy what the API server makes of it; what does not compile is answered when it is asked.
func compile(policy *admissionv1.ValidatingAdmissionPolicy) validating.Validator {
	spec := &policy.Spec
	compiler, err := cel.NewCompositedCompiler(celEnvironment())
	if err != nil {
		return validating.NewValidator(nil, nil, nil, nil, spec.FailurePolicy, err)
	}
	with := cel.OptionalVariableDeclarations{HasParams: spec.ParamKind != nil, HasAuthorizer: true}
	var variables []cel.NamedExpressionAccessor
	for _, of := range spec.Variables {
		variables = append(variables, &validating.Variable{Name: of.Name, Expression: of.Expression})
	}
	compiler.CompileAndStoreVariables(variables, with, environment.StoredExpressions)
	var conditions, validations, messages, annotations []cel.ExpressionAccessor
	for i := range spec.MatchConditions {
		conditions = append(conditions, (*matchconditions.MatchCondition)(&spec.MatchConditions[i]))
	}
	for _, of := range spec.Validations {
		validations = append(validations, &validating.ValidationCondition{Expression: of.Expression, Message: of.Message, Reason: of.Reason})
		var message cel.ExpressionAccessor
		if of.MessageExpression != "" {
			message = &validating.MessageExpressionCondition{MessageExpression: of.MessageExpression}
		}
		messages = append(messages, message)
	}
	for _, of := range spec.AuditAnnotations {
		annotations = append(annotations, &validating.AuditAnnotationCondition{Key: of.Key, ValueExpression: of.ValueExpression})
	}
	var matcher matchconditions.Matcher
	if len(conditions) > 0 {
		compiled := compiler.CompileCondition(conditions, with, environment.StoredExpressions)
		matcher = matchconditions.NewMatcher(compiled, spec.FailurePolicy, "policy", "validate", policy.Name)
	}
	// Messages know no rights.
	return validating.NewValidator(
		compiler.CompileCondition(validations, with, environment.StoredExpressions), matcher,
		compiler.CompileCondition(annotations, with, environment.StoredExpressions),
		compiler.CompileCondition(messages, cel.OptionalVariableDeclarations{HasParams: with.HasParams}, environment.StoredExpressions),
		spec.FailurePolicy, nil,
	)
}
