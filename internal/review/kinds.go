package review

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// kind is how the objects of one kind are decided on.
type kind struct {
	// bound refuses an object that is too much work to look at, before any is done.
	bound func(object *unstructured.Unstructured) hop.Refusals
	// intent returns an object as its author wrote it. The error is hop.Refusals.
	intent func(s *subject, object *unstructured.Unstructured) (*unstructured.Unstructured, error)
	// rewrite returns the form in which the subject will be stored; nil for a kind that is evaluated only. The error is
	// hop.Refusals.
	rewrite func(s *subject) (*unstructured.Unstructured, error)
	// examine returns the facts of the subject as it stands, and what a hop cannot express of it.
	examine func(s *subject) (egress.Facts, hop.Refusals)
	// kept says whether the subject is an object that we keep, exactly as it is to be; nil for kinds of which we keep none
	// among those of tenants.
	kept func(s *subject) bool
	// changes tells the author what was rewritten, and what it means where it is not what was asked for.
	changes func(s *subject) []string
	// exported is how an answer says of an object that other namespaces go by it.
	exported string
}

// kinds is the table of what is governed, all of the API group Group.
var kinds = map[string]kind{
	"DestinationRule": {bound: boundRule, intent: ruleIntent, rewrite: sealRule, examine: examineRule, kept: keptRule, changes: ruleChanges},
	"Gateway":         {bound: boundGateway, intent: asWritten, examine: examineGateway, changes: unchanged},
	"ServiceEntry":    {bound: boundEntry, intent: entryIntent, rewrite: seal, examine: examineEntry, changes: entryChanges, exported: "this entry is exported"},
	"Sidecar":         {bound: boundSidecar, intent: sidecarIntent, rewrite: closeSidecar, examine: examineSidecar, kept: keptSidecar, changes: sidecarChanges},
	"VirtualService":  {bound: boundRoutes, intent: routeIntent, rewrite: inject, examine: examineRoutes, changes: routeChanges, exported: "these routes are exported"},
}

// Group is the API group of the governed kinds.
const Group = "networking.istio.io"

// Kinds returns the governed kinds, sorted.
func Kinds() []string { return slices.Sorted(maps.Keys(kinds)) }

// subject is a request with what is read of it once.
type subject struct {
	Request
	*Reviewer
	kind kind
	// gateway is the one through which the namespace leaves, the zero value for none.
	gateway egress.Gateway
	// intent and oldIntent are the objects as their authors wrote them; oldIntent is nil without an old object.
	intent, oldIntent *unstructured.Unstructured
}

// changed says whether the stored object will differ in its spec from the one before.
func (s *subject) changed() bool {
	return s.Old == nil || !equality.Semantic.DeepEqual(s.Object.Object["spec"], s.Old.Object["spec"])
}
