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
	// group is the API group.
	group string
	// asked says that the API server sends the kind only while a policy in force asks for it: there is nothing to refuse
	// in it but what a policy says.
	asked bool
	// bound refuses an object whose lists are too much work to look at together, before any is done; nil for one whose size
	// says it all.
	bound func(object *unstructured.Unstructured) hop.Refusals
	// aside says whether an object that is too much work is looked at as if it had one host, since it is the same whichever it has; nil for
	// kinds of which none is.
	aside func(s *subject) bool
	// tallies count what an object may have more of only where it had before; none for nothing.
	tallies tallies
	// intent returns an object as its author wrote it. The error is hop.Refusals.
	intent func(s *subject, object *unstructured.Unstructured) (*unstructured.Unstructured, error)
	// rewrite returns the form in which the subject will be stored; nil for a kind that is evaluated only. The error is
	// hop.Refusals.
	rewrite func(s *subject) (*unstructured.Unstructured, error)
	// stays says whether the subject is stored as it is for now, and judged in the form that it will have; nil for kinds of which
	// none is.
	stays func(s *subject) bool
	// examine returns the facts of the subject as it stands, and what a hop cannot express of it.
	examine func(s *subject) (egress.Facts, hop.Refusals)
	// leave returns what keeps the subject, which is stored, from being deleted; nil for kinds that go as their authors please.
	leave func(s *subject) hop.Refusals
	// kept says whether the subject is an object that we keep, exactly as it is to be; nil for kinds of which we keep none
	// among those of tenants.
	kept func(s *subject) bool
	// changes tells the author what was rewritten, and what it means where it is not what was asked for.
	changes func(s *subject) []string
	// warns returns what the author is told that somebody may have meant: nothing is refused for it; nil for kinds of which nothing is.
	warns func(s *subject) []egress.Finding
	// exported is how an answer says of an object that other namespaces go by it.
	exported string
}

// The API groups of the governed kinds.
const (
	networking = "networking.istio.io"
	extensions = "extensions.istio.io"
	gatewayAPI = "gateway.networking.k8s.io"
)

// versions are those of each group that are read alike.
var versions = map[string][]string{
	networking: {"v1", "v1beta1", "v1alpha3"},
	extensions: {"v1alpha1"},
	gatewayAPI: {"v1", "v1beta1", "v1alpha3", "v1alpha2"},
}

// kinds is the table of what is governed.
var kinds = map[string]kind{
	"DestinationRule": {group: networking, bound: boundRule, tallies: tallies{rulePorts, exportedTo}, intent: ruleIntent, rewrite: sealRule, examine: examineRule, leave: leaveRule, kept: keptRule, changes: ruleChanges},
	"Gateway":         {group: networking, bound: boundGateway, intent: asWritten, examine: examineGateway, changes: gatewayNotes},
	"ServiceEntry":    {group: networking, bound: boundEntry, tallies: tallies{exportedTo}, intent: entryIntent, rewrite: seal, stays: staysStraight, examine: examineEntry, changes: entryChanges, exported: "this entry is exported"},
	"VirtualService":  {group: networking, bound: boundRoutes, aside: aside, tallies: tallies{routeHosts, exportedTo}, intent: routeIntent, rewrite: inject, examine: examineRoutes, kept: keptRoutes, changes: routeChanges, warns: rivals, exported: "these routes are exported"},

	"GRPCRoute": apiRoute,
	"HTTPRoute": apiRoute,
	"TCPRoute":  apiRoute,
	"TLSRoute":  apiRoute,

	// Where hosts that no entry names are blocked, a Sidecar is sent in any case.
	"Sidecar": {group: networking, asked: true, intent: sidecarIntent, rewrite: closeSidecar, examine: examineSidecar, kept: keptSidecar, changes: sidecarChanges},

	"EnvoyFilter":      {group: networking, asked: true, intent: asWritten, examine: examineNothing, kept: keptCrossing, changes: unchanged},
	"ProxyConfig":      judged(networking, examineNothing),
	"TrafficExtension": judged(extensions, examineNothing),
	"WasmPlugin":       judged(extensions, examineNothing),
	"WorkloadEntry":    judged(networking, examineWorkload),
	"WorkloadGroup":    judged(networking, examineNothing),
}

// apiRoute is the row of the routes of the Gateway API. The API server sends them wherever it has their kinds.
var apiRoute = kind{
	group: gatewayAPI, intent: asWritten, examine: examineAPIRoute, changes: unchanged, exported: "this route applies",
}

// judged is the row of a kind that is evaluated by policies and nothing else.
func judged(group string, examine func(s *subject) (egress.Facts, hop.Refusals)) kind {
	return kind{group: group, asked: true, intent: asWritten, examine: examine, changes: unchanged}
}

// Kinds returns the governed kinds, sorted.
func Kinds() []string { return slices.Sorted(maps.Keys(kinds)) }

// Resource is how the API server knows a governed kind.
type Resource struct {
	Group    string
	Versions []string
	// Asked says that it is sent only while a policy in force asks for it.
	Asked bool
	// Leaves says that its deletion is decided on.
	Leaves bool
}

// ResourceOf returns that of a kind, false for one that is not governed.
func ResourceOf(kind string) (Resource, bool) {
	row, known := kinds[kind]
	return Resource{Group: row.group, Versions: versions[row.group], Asked: row.asked, Leaves: row.leave != nil}, known
}

// subject is a request with what is read of it once.
type subject struct {
	Request
	*Reviewer
	kind kind
	// gateway is the one through which the namespace leaves, the zero value for none.
	gateway egress.Gateway
	// aside says that it is looked at as if it had one host.
	aside bool
	// later says that it is stored as it is for now, and Object is the form that it will have.
	later bool
	// intent and oldIntent are the objects as their authors wrote them, which are not to be changed: they may be those of the request.
	// oldIntent is nil without an old object.
	intent, oldIntent *unstructured.Unstructured
	once              once
	// routes are those of a VirtualService as it stands, nil until somebody asks.
	routes *egress.VirtualService
}

// changed says whether the stored object will differ in its spec from the one before.
func (s *subject) changed() bool {
	return s.Old == nil || !same(s.Object.Object["spec"], s.Old.Object["spec"])
}

// restated says whether its author's spec is stored already: the write is one of metadata, or a controller's who has it stored in another
// form. What nobody refused before then keeps nobody from that. An audit knows of nothing before.
func (s *subject) restated() bool {
	return s.oldIntent != nil && same(s.intent.Object["spec"], s.oldIntent.Object["spec"])
}

// touched says whether what is stored, or what its author means by it, will differ from before: of a sealed entry the stored spec does not
// show which endpoints are meant. Whatever is not asked about an object that stays goes by this.
func (s *subject) touched() bool { return s.changed() || !s.restated() }

// same says whether two values of objects mean the same: mostly they are.
func same(a, b any) bool { return egress.SameValue(a, b) || equality.Semantic.DeepEqual(a, b) }

// resolved returns the routes of a VirtualService as it stands or may be stored, read against the cluster; those of the subject once.
func (s *subject) resolved(form *unstructured.Unstructured) *egress.VirtualService {
	looked := form
	if s.aside {
		looked = ofOneHost(form)
	}
	if form != s.Object {
		return egress.Resolve(looked, s.Mesh, s.View)
	}
	if s.routes == nil {
		s.routes = egress.Resolve(looked, s.Mesh, s.View)
	}
	return s.routes
}
