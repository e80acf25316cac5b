// Package policy evaluates reviews by Rego policies. It knows OPA alone.
package policy

// Review is one object to be evaluated.
type Review struct {
	// Kind is that of the object.
	Kind string
	// Labels are the object's own.
	Labels map[string]string
	// User asks for it, nobody in an audit.
	User User
	// Namespace is the object's.
	Namespace Namespace
	// Clients are the namespaces that the object acts on.
	Clients Clients
	// Document is the policy input without client and parameters: a JSON-like value (docs/policies.md).
	Document map[string]any
}

// Violation is one sentence of a policy.
type Violation struct {
	// Policy is the name of the EgressPolicy, Library that of the library policy it uses; empty for inline Rego.
	Policy, Library string
	// Code identifies the rule within the policy, in kebab case. Field is a JSON path into the object.
	Code, Field string
	// Message says what is wrong, Fix how to mend it, Docs is the URL of a page about the policy.
	Message, Fix, Docs string
	// Client is the namespace for which it was found, where that is not the object's own.
	Client Client
}

// CodeEvaluationFailed is the code of a policy that could not be evaluated.
const CodeEvaluationFailed = "evaluation-failed"

// Failure is a policy that could not be evaluated.
type Failure struct {
	Policy string
	Client Client
	Err    error
	// Docs is the URL of a page about the policy.
	Docs string
}

// Decision is everything the policies said, sorted by policy, field and message.
type Decision struct {
	// Denied holds the violations of policies that deny, Warned those that warn, Audited those that only record.
	Denied, Warned, Audited []Violation
	// Failed holds the failures of policies that deny; those of policies that warn or audit are
	// among Warned and Audited as violations with the code CodeEvaluationFailed.
	Failed []Failure
	// Asked are the names of the policies that were asked, Exempt of those that do not apply to the user, and would have been.
	Asked, Exempt []string
}
