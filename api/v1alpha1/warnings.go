package v1alpha1

// Beware stands in the message of Ready before each thing that a policy's author may not have meant.
const Beware = "; beware: "

// Warnings are what the author of a policy may not have meant, a sentence each.
func (s EgressPolicySpec) Warnings() (out []string) {
	of := s.Match.ObjectSelector
	if of != nil && len(of.MatchLabels)+len(of.MatchExpressions) > 0 && (s.Enforcement == Deny || s.Enforcement == "") {
		out = append(out, "spec.match.objectSelector: who writes an object sets its labels, so whoever labels it otherwise escapes this policy; select by namespaces or namespaceSelector what is to be kept out")
	}
	return out
}
