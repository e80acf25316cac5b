package admit

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"k8s.io/apimachinery/pkg/api/equality"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/internal/policy"
	"github.com/egress-governor/egress-governor/internal/registry"
)

// Validate judges the object that will be stored: what a hop cannot express is refused, what a policy forbids is
// denied, and every reason is in the one answer.
func (g *Governor) Validate(ctx context.Context, req admission.Request) admission.Response {
	subject, problem := g.read(ctx, req)
	if problem != nil {
		return problem.response()
	}
	if subject.object.GetDeletionTimestamp() != nil {
		return admission.Allowed("")
	}
	finding, err := g.examine(subject)
	if err != nil {
		return admission.Errored(http.StatusInternalServerError, err)
	}
	ctx, cancel := context.WithTimeout(ctx, judgeTimeout)
	defer cancel()
	document, err := g.document(req, subject, finding)
	if err != nil {
		return admission.Errored(http.StatusInternalServerError, err)
	}
	decision := g.Judge.Judge(ctx, policy.Review{Kind: req.Kind.Kind, NamespaceLabels: subject.namespace.Labels, Document: document})
	verdict, response := answer(finding.refusals, decision)
	if verdict == allowed {
		response.Warnings = bounded(append(g.rewriteWarnings(subject), response.Warnings...))
	}
	if req.DryRun == nil || !*req.DryRun {
		g.counters.count(req.Kind.Kind, string(req.Operation), verdict, decision)
		for _, violation := range decision.Audited {
			ctrl.LoggerFrom(ctx).Info("Audited violation", "policy", violation.Policy, "kind", req.Kind.Kind,
				"namespace", req.Namespace, "name", req.Name, "field", violation.Field, "message", violation.Message)
		}
	}
	return response
}

// finding is what is known of an object before any policy is asked.
type finding struct {
	facts    egress.Facts
	refusals hop.Refusals
	gateway  string
}

func (g *Governor) examine(subject *subject) (*finding, error) {
	out := &finding{}
	gw, governed := g.gatewayFor(subject)
	if governed {
		out.gateway = gw.Name
	}
	if err := g.checkStored(subject, out); err != nil {
		return nil, err
	}
	if subject.object.GetKind() == "VirtualService" {
		out.facts = egress.RouteFacts(subject.object, g.Mesh, g.World)
		out.refusals = append(out.refusals, hop.CheckRoutes(subject.object, g.Mesh, g.World)...)
		return out, nil
	}
	intent, err := hop.Intent(subject.object, g.Mesh)
	if err != nil {
		return out, nil // the same refusal as checkStored's
	}
	parsed, err := egress.ParseServiceEntry(intent)
	if err != nil {
		return nil, err
	}
	sealed, _ := hop.SealedTo(subject.object, g.Mesh)
	out.facts = egress.EntryFacts(parsed, sealed.Name, g.Mesh, g.World)
	if sealed.Name != "" && parsed.External() {
		g.checkConflicts(subject, parsed, sealed.Name, out)
	}
	return out, nil
}

// checkStored holds the object against the form in which Mutate would store it. Another mutating webhook may have
// come after ours; what it made of a sealed entry is not taken on trust.
func (g *Governor) checkStored(subject *subject, out *finding) error {
	want, err := g.rewrite(subject)
	var refusals hop.Refusals
	if errors.As(err, &refusals) {
		out.refusals = append(out.refusals, refusals...)
		return nil
	}
	if err != nil {
		return err
	}
	if subject.object.GetKind() == "ServiceEntry" && !equality.Semantic.DeepEqual(want.Object["spec"], subject.object.Object["spec"]) {
		out.refusals = append(out.refusals, hop.Refusal{
			Code: "not-sealed", Field: "spec.endpoints", Message: "the entry was changed after it was sealed",
			Fix: "apply it again; if this stays, another mutating webhook rewrites ServiceEntries",
		})
	}
	return nil
}

// checkConflicts finds hosts that an older entry defines otherwise: the first comer keeps the exit.
func (g *Governor) checkConflicts(subject *subject, intent *egress.ServiceEntry, gateway string, out *finding) {
	definition := intent.Define()
	for i, host := range intent.Hosts {
		owner := registry.Owner(g.World.Entries(egress.Canonical(host)), gateway)
		if owner == nil || (owner.Namespace == subject.object.GetNamespace() && owner.Name == subject.object.GetName()) {
			continue
		}
		reason := registry.Differs(owner.Definition, definition)
		if reason == "" {
			continue
		}
		field := fmt.Sprintf("spec.hosts[%d]", i)
		out.facts.Conflicts = append(out.facts.Conflicts, egress.Conflict{Host: host, Reason: reason, Field: field, Owner: owner})
		out.refusals = append(out.refusals, hop.Refusal{
			Code: "host-conflict", Field: field,
			Message: fmt.Sprintf("host %q is already defined otherwise by ServiceEntry %s/%s: %s", host, owner.Namespace, owner.Name, reason),
			Fix:     fmt.Sprintf("define the host as ServiceEntry %s/%s does, or agree with its owners on one definition", owner.Namespace, owner.Name),
		})
	}
}
