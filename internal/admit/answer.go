package admit

import (
	"context"
	"net/http"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/egress-governor/egress-governor/internal/review"
)

// statuses are how the three noes differ to a client.
var statuses = map[review.Verdict]struct {
	code   int32
	reason metav1.StatusReason
}{
	review.Denied:  {http.StatusForbidden, metav1.StatusReasonForbidden},
	review.Refused: {http.StatusUnprocessableEntity, metav1.StatusReasonInvalid},
	review.Failed:  {http.StatusInternalServerError, metav1.StatusReasonInternalError},
}

// answer turns an outcome of a request into a response.
func answer(in review.Request, outcome *review.Outcome) admission.Response {
	out := admission.Allowed("")
	if outcome.Verdict != review.Allowed {
		out = refusal(outcome)
	}
	out.Warnings = outcome.Warnings()
	out.AuditAnnotations = noted(in, outcome)
	return out
}

// byRequest is the annotation of the API server's audit log by which lines of ours are found: it knows no UIDs of AdmissionReviews
// otherwise.
const byRequest = "request-id"

// noted is what the API server's audit log says of an outcome, nil for nothing.
func noted(in review.Request, outcome *review.Outcome) map[string]string {
	out := map[string]string{}
	if audited := outcome.Audited(); audited != "" {
		out["violations"] = audited
	}
	if exempt := outcome.Exempt; len(exempt.Policies) > 0 {
		out["exempt-user"], out["exempt-from"] = exempt.User, exempt.From()
	}
	if len(out) == 0 && outcome.Verdict == review.Allowed {
		return nil
	}
	out[byRequest] = in.UID
	return out
}

// refusal says everything that speaks against an object, and the codes where a program looks for them. Not with 422:
// kubectl would print these causes in place of the message.
func refusal(outcome *review.Outcome) admission.Response {
	out := no(outcome.Verdict, outcome.Message())
	if outcome.Verdict == review.Refused {
		return out
	}
	var causes []metav1.StatusCause
	for _, finding := range outcome.Reasons() {
		causes = append(causes, metav1.StatusCause{Type: metav1.CauseType(finding.Code), Field: finding.Field, Message: finding.Message})
	}
	out.Result.Details = &metav1.StatusDetails{Causes: causes[:min(len(causes), review.MaxReasons)]}
	return out
}

// unfit says what is wrong with an EgressPolicy. The log has it by its code: what it quotes is in the answer.
func unfit(ctx context.Context, req admission.Request, err error) admission.Response {
	log.FromContext(ctx).Info("Not allowed", "verdict", review.Refused, "operation", req.Operation, "reasons", []string{"unfit-policy"})
	out := no(review.Refused, review.PolicyMessage(req.Name, err))
	out.AuditAnnotations = map[string]string{byRequest: string(req.UID)}
	return out
}

func no(verdict review.Verdict, message string) admission.Response {
	status := statuses[verdict]
	return admission.Response{AdmissionResponse: admissionv1.AdmissionResponse{Result: &metav1.Status{
		Code: status.code, Reason: status.reason, Message: message,
	}}}
}
