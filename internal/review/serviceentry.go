package review

import (
	"errors"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// seals says whether ServiceEntries of the namespace are sealed.
func (s *subject) seals() bool { return s.Mesh.Seal && s.gateway.Name != "" }

// leads says whether they are stored as they are written, and routes lead their calls to the gateway of the namespace.
func (s *subject) leads() bool { return s.Mesh.ByRoutes() && s.gateway.Name != "" }

// carrier returns the egress gateway by which calls of an external entry leave as it stands; the zero value for none.
func (s *subject) carrier(intent *egress.ServiceEntry) egress.Gateway {
	sealed, _ := hop.SealedTo(s.Object, s.Mesh)
	if sealed.Name == "" && s.leads() && intent.External() {
		return s.gateway
	}
	return sealed
}

// entryIntent reads the annotation where it tells what is or will be carried to a gateway. Anywhere else it is a
// tenant's word without effect, and the spec itself is what counts.
func entryIntent(s *subject, entry *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	intent, err := hop.EntryIntent(entry, s.Mesh)
	if err != nil {
		return nil, err
	}
	if _, sealed := hop.SealedTo(entry, s.Mesh); !sealed && !s.seals() {
		return entry.DeepCopy(), nil
	}
	return intent, nil
}

// seal returns the stored form of an entry, and none of one that would lead past the gateways.
func seal(s *subject) (*unstructured.Unstructured, error) {
	out, err := sealedForm(s)
	if err != nil || !s.Mesh.Carries() {
		return out, err
	}
	parsed, err := s.entry()
	if err != nil {
		return nil, err
	}
	if refusals := pastGateways(s, parsed); len(refusals) > 0 {
		return nil, refusals
	}
	if staysStraight(s) {
		return s.Object, nil
	}
	return out, nil
}

// staysStraight says whether an external entry stays as it is stored until it is sealed, and its exit is made before.
func staysStraight(s *subject) bool {
	parsed, err := s.entry()
	return s.Operation == Update && s.seals() && err == nil && parsed.External() && hop.StaysStraight(s.Object, s.Old, s.Mesh)
}

func sealedForm(s *subject) (*unstructured.Unstructured, error) {
	switch {
	case s.leads():
		return s.intent, ledRefusals(s)
	case !s.seals():
		return s.Object, nil
	}
	parsed, err := s.entry()
	if err != nil {
		return nil, err
	}
	out := s.intent.DeepCopy()
	return out, hop.SealIntent(out, parsed, s.gateway, s.Mesh)
}

// ledRefusals is why routes cannot lead the calls of an entry to the gateway; nil for nothing.
func ledRefusals(s *subject) error {
	parsed, err := s.entry()
	if err != nil || !parsed.External() {
		return err
	}
	refusals := slices.Concat(hop.Check(parsed, s.gateway, s.Mesh), hop.CheckCarrier(parsed, s.gateway, s.View), hop.CheckSeen(s.intent, s.Mesh))
	if len(refusals) > 0 {
		return refusals
	}
	return nil
}

func examineEntry(s *subject) (egress.Facts, hop.Refusals) {
	parsed, err := s.entry()
	if err != nil {
		var refusals hop.Refusals
		errors.As(err, &refusals)
		return egress.Facts{Gateway: s.gateway.Name}, refusals
	}
	sealed := s.carrier(parsed)
	facts, refusals := entryFacts(s, parsed, sealed), checkSealed(s)
	s.export(&facts, refusals)
	// A Service that came later, and claims what is stored already, keeps nobody from writing the rest.
	if s.touched() {
		refusals = append(refusals, claims(s, parsed)...)
	}
	refusals = append(refusals, pastGateways(s, parsed)...)
	if parsed.External() && !s.seals() {
		refusals = append(refusals, hop.CheckSpelling(parsed.Hosts)...)
	}
	refusals = append(refusals, portsTaken(s, parsed)...)
	if sealed.Name != "" && parsed.External() {
		facts.Conflicts = conflicts(s, parsed, sealed)
		refusals = append(refusals, notCarried(s, parsed, sealed)...)
	}
	for _, conflict := range facts.Conflicts {
		refusals = append(refusals, refusalOf(conflict, s.Namespace.Name))
	}
	if s.touched() {
		refusals = slices.Concat(refusals, taken(s, parsed), detours(s, parsed), addressesTaken(s, parsed), tunnels(s, parsed))
	}
	if !s.restated() {
		refusals = append(refusals, ofEndpoints(s, parsed)...)
	}
	return facts, essential(refusals)
}

// entryFacts are those of an entry as it is meant, with its hosts as they are stored.
func entryFacts(s *subject, intent *egress.ServiceEntry, sealed egress.Gateway) egress.Facts {
	out := egress.EntryFacts(intent, s.gateway, sealed, s.Mesh, s.View)
	if stored := listOf(s.Object, "hosts"); len(stored) == len(intent.Hosts) {
		for i := range stored {
			out.Hosts[i].Stored, _ = stored[i].(string)
		}
	}
	return out
}

// notCarried is why a gateway cannot carry the calls of an entry, as the rest of the cluster stands.
func notCarried(s *subject, intent *egress.ServiceEntry, sealed egress.Gateway) hop.Refusals {
	out := slices.Concat(unreached(s, intent), hostsOf(s, intent), keptNamesOf(s), accountsOf(s), overlaps(s, intent, sealed))
	// What is stored already, and stays, keeps nobody from writing the rest.
	if s.touched() || s.relabelled() {
		out = slices.Concat(out, exports(s, intent.ExportTo), underRules(s, intent, sealed), apart(s, intent), narrowed(s, intent), routed(s, intent), unaddressed(s, intent), boundTwice(s, intent))
	}
	return out
}

// pastGateways refuses an entry that leads past all gateways: one that nothing shows to be the mesh's own, as it says, and one
// of a namespace without a gateway.
func pastGateways(s *subject, intent *egress.ServiceEntry) hop.Refusals {
	if !intent.External() {
		return hop.CheckInternal(intent, s.Mesh, s.View)
	}
	if !s.Mesh.Carries() || s.gateway.Name != "" {
		return nil
	}
	return hop.Refusals{{
		Code: "no-gateway", Field: "metadata.namespace",
		Message: fmt.Sprintf("no egress gateway serves namespace %q, so calls to the hosts would leave directly", s.Namespace.Name),
		Fix:     "ask the platform team for a gateway whose namespaceSelector matches the namespace, or to exempt it",
	}}
}

// ofEndpoints refuses weights of endpoints that cost everybody who knows the hosts, those that istiod panics at, and endpoints of exits in the cluster.
func ofEndpoints(s *subject, intent *egress.ServiceEntry) hop.Refusals {
	out := sortedEndpoints(s, intent)
	if intent.External() && !s.seals() && !s.leads() {
		return out
	}
	out = append(out, hop.CheckWeights(intent.Endpoints)...)
	if intent.External() {
		out = append(out, hop.CheckCluster(intent, s.Mesh)...)
	}
	return out
}

// tunnels refuses endpoints of exits that are no more than the mesh's own.
func tunnels(s *subject, intent *egress.ServiceEntry) hop.Refusals {
	if !intent.External() || !s.seals() && !s.leads() {
		return nil
	}
	_, before := s.listenedBefore()
	return hop.CheckTunnels(intent, before)
}

// CodeUnsealed is the code of an entry that was stored before the webhook, or past it.
const CodeUnsealed = "unsealed-entry"

// checkSealed holds the entry against the form in which it would be stored. Another mutating webhook may have come
// after ours; what it made of a sealed entry is not taken on trust.
func checkSealed(s *subject) hop.Refusals {
	want, err := sealedForm(s)
	var refusals hop.Refusals
	if s.Operation == Audit && s.straightOut() {
		errors.As(err, &refusals)
		return append(hop.Refusals{{
			Code: CodeUnsealed, Field: "spec.endpoints", Message: "the entry is not sealed, so that calls to its hosts leave directly: it was stored before the webhook, or past it",
			Fix: "change anything in it, or apply it by kubectl apply --server-side: plain kubectl apply sends nothing of an unchanged manifest",
		}}, refusals...)
	}
	if errors.As(err, &refusals) {
		return refusals
	}
	if s.leads() {
		want = s.asItWas(want)
	}
	switch {
	case !same(want.Object["spec"], s.Object.Object["spec"]):
	case s.leads():
		return nil
	default:
		return s.checkBound(hop.BoundTo(want))
	}
	return hop.Refusals{{
		Code: "not-sealed", Field: "spec.endpoints", Message: "the entry was changed after it was sealed",
		Fix: "apply it again; if this stays, another mutating webhook rewrites ServiceEntries",
	}}
}

// asItWas returns the form in which an entry is still stored that was sealed before routes were to lead its calls; the one that
// it will have for any other.
func (s *subject) asItWas(form *unstructured.Unstructured) *unstructured.Unstructured {
	leg, sealed := hop.SealedLeg(s.Object, s.Mesh)
	if !sealed {
		return form
	}
	gw, _ := s.Mesh.GatewayByName(leg.Gateway)
	parsed, err := s.entry()
	if err != nil {
		return form
	}
	out := s.intent.DeepCopy()
	if hop.SealIntent(out, parsed, gw.By(leg.Transport), s.Mesh) != nil {
		return form
	}
	return out
}

// straightOut says whether an external entry that is to be sealed leads past every gateway.
func (s *subject) straightOut() bool {
	_, sealed := hop.SealedTo(s.Object, s.Mesh)
	parsed, err := s.entry()
	return s.seals() && !sealed && err == nil && parsed.External()
}
