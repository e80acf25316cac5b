package admit

import (
	"fmt"
	"net/http"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/internal/policy"
)

// maxReasons bounds the reasons of one answer: an object of a thousand routes must not answer with a thousand lines.
const maxReasons = 20

// Verdicts: the three noes differ in HTTP code and reason.
const (
	allowed = "allowed"
	denied  = "denied"  // a policy said no: 403 Forbidden
	refused = "refused" // it cannot be expressed: 422 Invalid
	failed  = "failed"  // a policy could not be evaluated: 500 InternalError
)

// answer turns everything that was found into one response and the verdict it stands for.
func answer(refusals hop.Refusals, decision policy.Decision) (string, admission.Response) {
	var reasons []string
	for _, failure := range decision.Failed {
		reasons = append(reasons, fmt.Sprintf("%s: policy could not be evaluated: %v\nFix: this is not your object's fault; ask the platform team", failure.Policy, failure.Err))
	}
	for _, violation := range decision.Denied {
		reasons = append(reasons, sentence(violation))
	}
	for _, refusal := range refusals {
		reasons = append(reasons, fmt.Sprintf("egress-governor: %s: %s (%s).\nFix: %s", refusal.Field, refusal.Message, refusal.Code, refusal.Fix))
	}
	warnings := make([]string, len(decision.Warned))
	for i, violation := range decision.Warned {
		warnings[i] = strings.ReplaceAll(sentence(violation), "\n", " ")
	}
	verdict, code, reason := allowed, int32(http.StatusOK), metav1.StatusReason("")
	switch {
	case len(decision.Failed) > 0:
		verdict, code, reason = failed, http.StatusInternalServerError, metav1.StatusReasonInternalError
	case len(decision.Denied) > 0:
		verdict, code, reason = denied, http.StatusForbidden, metav1.StatusReasonForbidden
	case len(refusals) > 0:
		verdict, code, reason = refused, http.StatusUnprocessableEntity, metav1.StatusReasonInvalid
	}
	response := admission.Response{AdmissionResponse: admissionv1.AdmissionResponse{
		Allowed: verdict == allowed,
		Result: &metav1.Status{
			Code: code, Reason: reason,
			Message: strings.Join(bounded(reasons), "\n"),
		},
		Warnings: bounded(warnings),
	}}
	if len(decision.Audited) > 0 {
		response.AuditAnnotations = map[string]string{"violations": audited(decision.Audited)}
	}
	return verdict, response
}

// sentence is how a violation reads: policy, field, what is wrong, rule; and how to mend it on the next line.
func sentence(v policy.Violation) string {
	var out strings.Builder
	out.WriteString(v.Policy + ": ")
	if v.Field != "" {
		out.WriteString(v.Field + ": ")
	}
	out.WriteString(v.Message)
	if v.Library != "" {
		out.WriteString(" (" + v.Library + ")")
	}
	if !strings.HasSuffix(v.Message, ".") || v.Library != "" {
		out.WriteString(".")
	}
	if v.Fix != "" {
		out.WriteString("\nFix: " + v.Fix)
	}
	return out.String()
}

func audited(violations []policy.Violation) string {
	lines := make([]string, len(violations))
	for i, violation := range violations {
		lines[i] = sentence(violation)
	}
	return strings.Join(bounded(lines), "\n")
}

func bounded(lines []string) []string {
	if len(lines) <= maxReasons {
		return lines
	}
	return append(lines[:maxReasons:maxReasons], fmt.Sprintf("… and %d more", len(lines)-maxReasons))
}
