// Package adopt plans how what is stored is sealed, and how it goes back: what changes, in which order, what is refused and why. It
// takes objects and returns plans; whoever carries them out reads the cluster anew at each step.
package adopt

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/egress-governor/egress-governor/internal/dryrun"
	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/internal/manifest"
	"github.com/egress-governor/egress-governor/internal/registry"
	"github.com/egress-governor/egress-governor/internal/review"
)

// State says what becomes of an object.
type State string

const (
	// Seal is that of an entry that leads straight out: its exit is made, then it is sealed.
	Seal State = "seal"
	// Held is that of one whose exit was asked for already: it is sealed once that stands.
	Held State = "held"
	// Sealed is that of one that is sealed, whatever would be said of its next write.
	Sealed State = "sealed"
	// Rewrite is that of a route or rule which is stored in another form once the entries of its hosts are sealed.
	Rewrite State = "rewrite"
	// Waits is that of an entry which could be sealed, and is left alone for what cannot be stored with it.
	Waits State = "waits"
	// Stays is that of an object that cannot be stored as it is to be: it is left untouched.
	Stays State = "stays"
)

// Object is a stored object, and what becomes of it.
type Object struct {
	manifest.Object
	State State
	// Hosts are those of an entry that leaves, with their ports.
	Hosts []string
	// Verdict is empty where the webhook was not asked; Findings are why it is not allowed, Changes what the author is told.
	Verdict  review.Verdict
	Findings []review.Finding
	Changes  []string
	// Message is what is said of one that would not be stored as it is.
	Message string
	// For is why it waits.
	For string
}

// Namespace is one with something to adopt, or that is adopted.
type Namespace struct {
	Name string
	// Observed says that it is to be governed first; Gateway is the egress gateway that it leaves by, empty for none.
	Observed bool
	Gateway  string
	Objects  []Object
	// Crossings are how calls go that hang on an entry and a rule both, while these are written.
	Crossings []Crossing
}

// Plan is what is to be done.
type Plan struct {
	// Namespaces have their objects in the order in which they are adopted: entries first.
	Namespaces []Namespace
	// Hops are hops that were written by hand.
	Hops []Hop
}

// New plans how the stored objects of namespaces are adopted, of all that are governed or observed where none are named. The session
// governs these and holds nothing yet; mesh is that of the cluster. It calls done after each object. The error is that of an object
// that cannot be evaluated, or of a namespace that cannot be adopted.
func New(ctx context.Context, session *dryrun.Session, mesh *egress.Mesh, stored []manifest.Object, names []string, done func()) (*Plan, error) {
	if !mesh.Seal {
		return nil, errors.New("config.serviceEntries is Leave: entries are not sealed, and there is nothing to adopt")
	}
	p := planner{Plan: &Plan{}, session: session, mesh: mesh, stored: inTurn(stored), view: registry.New(mesh)}
	if err := p.place(mesh, stored, names); err != nil {
		return nil, err
	}
	if err := session.Store(stored...); err != nil {
		return nil, err
	}
	if err := session.Assume(stored...); err != nil {
		return nil, err
	}
	for _, object := range p.stored {
		if p.index(object.GetNamespace()) >= 0 && !session.Keeps(object.Unstructured) {
			if err := p.take(ctx, object); err != nil {
				return nil, err
			}
		}
		done()
	}
	if err := p.settle(ctx); err != nil {
		return nil, err
	}
	p.cross()
	return p.Plan, errors.Join(p.findHops(session, mesh, stored), ctx.Err())
}

// place finds the namespaces.
func (p *Plan) place(mesh *egress.Mesh, stored []manifest.Object, names []string) error {
	known := map[string]bool{}
	for _, object := range stored {
		name := object.GetName()
		if object.GetKind() != "Namespace" || len(names) > 0 && !slices.Contains(names, name) {
			continue
		}
		known[name] = true
		set := LabelsOf(object.Unstructured)
		observed := mesh.Observes(set)
		if !observed && !mesh.Governed.Matches(set) {
			if len(names) > 0 {
				return fmt.Errorf("namespace %s is neither governed nor observed: it is exempt, or namespaceSelector does not take it", name)
			}
			continue
		}
		gw, _ := mesh.GatewayFor(set)
		p.Namespaces = append(p.Namespaces, Namespace{Name: name, Observed: observed, Gateway: gw.Name})
	}
	for _, name := range names {
		if !known[name] {
			return fmt.Errorf("there is no namespace %s", name)
		}
	}
	slices.SortFunc(p.Namespaces, func(a, b Namespace) int { return cmp.Compare(a.Name, b.Name) })
	return nil
}

// LabelsOf returns the labels of a namespace, with that which the API server gives it.
func LabelsOf(namespace *unstructured.Unstructured) labels.Set {
	return labels.Merge(labels.Set{"kubernetes.io/metadata.name": namespace.GetName()}, namespace.GetLabels())
}

func (p *Plan) index(namespace string) int {
	return slices.IndexFunc(p.Namespaces, func(of Namespace) bool { return of.Name == namespace && namespace != "" })
}

// inTurn returns objects in the order in which they are adopted: entries before what leads to them, the oldest first.
func inTurn(objects []manifest.Object) []manifest.Object {
	turn := func(of manifest.Object) string {
		if of.GetKind() == "ServiceEntry" {
			return ""
		}
		return of.GetKind()
	}
	out := slices.Clone(objects)
	slices.SortStableFunc(out, func(a, b manifest.Object) int {
		return cmp.Or(cmp.Compare(turn(a), turn(b)), a.GetCreationTimestamp().Compare(b.GetCreationTimestamp().Time),
			cmp.Compare(a.GetNamespace(), b.GetNamespace()), cmp.Compare(a.GetName(), b.GetName()))
	})
	return out
}

// decide says what becomes of an object that is applied again as it is, and has the session hold it so; false where nothing does.
func decide(ctx context.Context, session *dryrun.Session, mesh *egress.Mesh, object manifest.Object) (Object, bool, error) {
	out := Object{Object: object}
	if _, known := review.ResourceOf(object.GetKind()); !known {
		return out, false, nil
	}
	isEntry := object.GetKind() == "ServiceEntry"
	_, sealed := hop.SealedTo(object.Unstructured, mesh)
	again := manifest.Object{Unstructured: object.DeepCopy(), File: object.File, Line: object.Line}
	Release(again.Unstructured)
	answer, err := session.Answer(ctx, again)
	if err != nil {
		return out, false, err
	}
	out.Verdict, out.Findings, out.Changes = answer.Verdict, answer.Findings, answer.Warnings
	if isEntry {
		out.Hosts, _ = leaving(object.Unstructured) // what cannot be read is refused
	}
	changed := !equality.Semantic.DeepEqual(session.Holds(object.Unstructured).Object["spec"], object.Object["spec"])
	switch {
	case isEntry && sealed:
		if out.State = Sealed; !answer.Allowed() {
			out.Message = answer.Message
		}
	case !answer.Allowed():
		out.State, out.Message = Stays, answer.Message
	case isEntry && changed && hop.Held(object.Unstructured):
		out.State = Held
	case isEntry && changed:
		out.State = Seal
	case changed:
		out.State = Rewrite
	default:
		return out, false, nil
	}
	return out, true, nil
}

// Release takes from an entry what has its exit stand though it is not sealed.
func Release(entry *unstructured.Unstructured) {
	unstructured.RemoveNestedField(entry.Object, "metadata", "annotations", hop.ExitAnnotation)
	if len(entry.GetAnnotations()) == 0 {
		unstructured.RemoveNestedField(entry.Object, "metadata", "annotations")
	}
}

// leaving returns the hosts of an entry with their ports, none of one that is the mesh's own.
func leaving(entry *unstructured.Unstructured) (out []string, err error) {
	parsed, err := egress.ParseServiceEntry(entry)
	if err != nil {
		return nil, err
	}
	for _, host := range parsed.Hosts {
		for _, port := range parsed.Ports {
			out = append(out, fmt.Sprintf("%s:%d", egress.Canonical(host), port.Number))
		}
	}
	return out, nil
}

func (p *Plan) each(do func(of *Object)) {
	for i := range p.Namespaces {
		for j := range p.Namespaces[i].Objects {
			do(&p.Namespaces[i].Objects[j])
		}
	}
}

// Writes says whether something of the namespace is to be written.
func (n Namespace) Writes() bool {
	return slices.ContainsFunc(n.Objects, func(of Object) bool { return of.State == Seal || of.State == Held || of.State == Rewrite })
}

// Left says whether something cannot be adopted.
func (p *Plan) Left() (left bool) {
	p.each(func(of *Object) { left = left || of.State == Stays || of.State == Waits })
	return left
}

// Steps returns how many objects are to be written.
func (p *Plan) Steps() (out int) {
	p.each(func(of *Object) {
		if of.State == Seal || of.State == Held || of.State == Rewrite {
			out++
		}
	})
	return out
}
