package admit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// Mutate seals a ServiceEntry or injects the client leg into a VirtualService. An object that cannot be rewritten
// passes unchanged: Validate, which follows, refuses it together with everything else that is wrong with it.
func (g *Governor) Mutate(ctx context.Context, req admission.Request) admission.Response {
	subject, problem := g.read(ctx, req)
	if problem != nil {
		return problem.response()
	}
	if subject.object.GetDeletionTimestamp() != nil {
		return admission.Allowed("")
	}
	rewritten, err := g.rewrite(subject)
	var refusals hop.Refusals
	switch {
	case errors.As(err, &refusals):
		return admission.Allowed("")
	case err != nil:
		return admission.Errored(http.StatusInternalServerError, err)
	}
	raw, err := json.Marshal(rewritten)
	if err != nil {
		return admission.Errored(http.StatusInternalServerError, fmt.Errorf("encode object: %w", err))
	}
	return admission.PatchResponseFromRaw(req.Object.Raw, raw)
}

// rewrite returns the form in which the object will be stored. The error is hop.Refusals when there is none.
func (g *Governor) rewrite(subject *subject) (*unstructured.Unstructured, error) {
	if subject.object.GetKind() == "VirtualService" {
		if !g.Mesh.Inject {
			return subject.object, nil
		}
		return hop.Inject(subject.object, g.Mesh, g.World)
	}
	gw, ok := g.gatewayFor(subject)
	if !ok || !g.Mesh.Seal {
		return subject.object, nil
	}
	return hop.Seal(subject.object, gw, g.Mesh)
}

func (g *Governor) gatewayFor(subject *subject) (egress.Gateway, bool) {
	return g.Mesh.GatewayFor(labels.Set(subject.namespace.Labels))
}
