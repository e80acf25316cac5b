package admit

import (
	"fmt"
	"net/http"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/egress-governor/egress-governor/internal/review"
)

// maxReasons bounds the reasons of one answer: an object of a thousand routes must not answer with a thousand lines.
const maxReasons = 20

// statuses are how the three noes differ to a client.
var statuses = map[review.Verdict]struct {
	code   int32
	reason metav1.StatusReason
}{
	review.Denied:  {http.StatusForbidden, metav1.StatusReasonForbidden},
	review.Refused: {http.StatusUnprocessableEntity, metav1.StatusReasonInvalid},
	review.Failed:  {http.StatusInternalServerError, metav1.StatusReasonInternalError},
}

// answer turns an outcome into a response.
func answer(outcome *review.Outcome) admission.Response {
	var warnings []string
	for _, finding := range outcome.Of(review.Warned) {
		warnings = append(warnings, strings.ReplaceAll(finding.Sentence(), "\n", " "))
	}
	out := admission.Allowed("")
	if outcome.Verdict != review.Allowed {
		out = refusal(outcome)
	}
	out.Warnings = bounded(append(bounded(outcome.Changes), warnings...))
	if audited := outcome.Of(review.Audited); len(audited) > 0 {
		out.AuditAnnotations = map[string]string{"violations": lines(audited)}
	}
	return out
}

// refusal says everything that speaks against an object, and the codes where a program looks for them. Not with 422:
// kubectl would print these causes in place of the message.
func refusal(outcome *review.Outcome) admission.Response {
	var reasons []string
	var causes []metav1.StatusCause
	for _, finding := range outcome.Findings {
		switch finding.Effect {
		case review.Denied, review.Refused, review.Failed:
			reasons = append(reasons, finding.Sentence())
			causes = append(causes, metav1.StatusCause{Type: metav1.CauseType(finding.Code), Field: finding.Field, Message: finding.Message})
		}
	}
	out := no(outcome.Verdict, strings.Join(bounded(reasons), "\n"))
	if outcome.Verdict != review.Refused {
		out.Result.Details = &metav1.StatusDetails{Causes: causes[:min(len(causes), maxReasons)]}
	}
	return out
}

func no(verdict review.Verdict, message string) admission.Response {
	status := statuses[verdict]
	return admission.Response{AdmissionResponse: admissionv1.AdmissionResponse{Result: &metav1.Status{
		Code: status.code, Reason: status.reason, Message: message,
	}}}
}

func lines(findings []review.Finding) string {
	out := make([]string, len(findings))
	for i, finding := range findings {
		out[i] = finding.Line()
	}
	return strings.Join(bounded(out), "\n")
}

func bounded(lines []string) []string {
	if len(lines) <= maxReasons {
		return lines
	}
	return append(lines[:maxReasons:maxReasons], fmt.Sprintf("… and %d more", len(lines)-maxReasons))
}
