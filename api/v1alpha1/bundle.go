package v1alpha1

import (
	"fmt"
	"strings"
)

// Bundle returns the name of the bundle whose policy an EgressPolicy uses, empty where it uses none.
func (s EgressPolicySpec) Bundle() string {
	if bundle, _, is := strings.Cut(s.Policy, "/"); is {
		return bundle
	}
	return ""
}

// BundleMissing is the error of a policy whose bundle has not come yet.
// +kubebuilder:object:generate=false
type BundleMissing struct {
	// Bundle is its name.
	Bundle string
	// Cause is why, nil where it was not asked for yet.
	Cause error
}

// Error implements error.
func (m *BundleMissing) Error() string {
	out := fmt.Sprintf("spec.policy: bundle %s has not come yet", m.Bundle)
	if m.Cause != nil {
		out += ": " + m.Cause.Error()
	}
	return out
}

// Warning is what the author of a policy reads whose bundle is missing.
func (m *BundleMissing) Warning() string {
	return m.Error() + "; until it comes, the version before stays in force, and without one the policy fails what it selects"
}
