package admit

import (
	"context"
	"fmt"
	"net/http"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
)

// ValidatePolicy refuses an EgressPolicy that does not compile or whose parameters do not fit, with file and line.
func (g *Governor) ValidatePolicy(_ context.Context, req admission.Request) admission.Response {
	if req.Kind.Group != v1alpha1.GroupVersion.Group || req.Kind.Kind != "EgressPolicy" {
		return malformed("kind %s %s is not an EgressPolicy", req.Kind.Group, req.Kind.Kind).response()
	}
	if len(req.Object.Raw) == 0 {
		return malformed("object: is empty").response()
	}
	egressPolicy := &v1alpha1.EgressPolicy{}
	if err := g.decoder.Decode(req, egressPolicy); err != nil {
		return malformed("object: %w", err).response()
	}
	if egressPolicy.DeletionTimestamp != nil {
		return admission.Allowed("")
	}
	if err := g.Checker.Check(egressPolicy); err != nil {
		return admission.Response{AdmissionResponse: admissionv1.AdmissionResponse{Result: &metav1.Status{
			Code: http.StatusUnprocessableEntity, Reason: metav1.StatusReasonInvalid,
			Message: fmt.Sprintf("EgressPolicy %q: %v", req.Name, err),
		}}}
	}
	return admission.Allowed("")
}
