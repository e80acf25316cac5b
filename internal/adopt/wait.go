package adopt

import (
	"context"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/dryrun"
	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/manifest"
	"github.com/egress-governor/egress-governor/internal/registry"
)

// planner makes a plan.
type planner struct {
	*Plan
	session *dryrun.Session
	mesh    *egress.Mesh
	// stored is what a cluster holds, in the order in which it is adopted, and view what it says.
	stored []manifest.Object
	view   *registry.Registry
	// governed are the namespaces about whose objects the webhook is asked.
	governed map[string]bool
	// beside is what leads calls of the plan's entries in governed namespaces that are not the plan's: it is not adopted, and cannot be
	// stored beside sealed entries where it stays.
	beside []Object
}

// take decides on an object, and has the plan say so in the place of what it said before.
func (p *planner) take(ctx context.Context, object manifest.Object) error {
	of, is, err := decide(ctx, p.session, p.mesh, object)
	if err != nil {
		return err
	}
	list := &p.beside
	if i := p.index(object.GetNamespace()); i >= 0 {
		list = &p.Namespaces[i].Objects
	}
	i := slices.IndexFunc(*list, func(before Object) bool { return before.Unstructured == object.Unstructured })
	switch {
	case i >= 0 && is:
		(*list)[i] = of
	case i >= 0:
		*list = slices.Delete(*list, i, i+1)
	case is:
		*list = append(*list, of)
	}
	return nil
}

// settle leaves alone the entries of hosts that something leads to which cannot be stored as it would be: what it says of their calls
// might come to mean something else. The session holds these as they are then, and what else leads to them is decided on anew, since it
// may not be stored beside them.
func (p *planner) settle(ctx context.Context) error {
	p.governed = map[string]bool{}
	for _, object := range p.stored {
		if object.GetKind() == "Namespace" {
			p.governed[object.GetName()] = p.session.Mesh().Governed.Matches(LabelsOf(object.Unstructured))
		}
		if err := p.view.Put(object.Unstructured); err != nil {
			return err
		}
	}
	entries := p.entries()
	for _, object := range p.stored {
		if p.index(object.GetNamespace()) < 0 && p.asked(object) && len(entries.led(object.Unstructured)) > 0 {
			if err := p.take(ctx, object); err != nil {
				return err
			}
		}
	}
	for held := p.wait(); len(held.all) > 0; held = p.wait() {
		for _, entry := range held.all {
			if err := p.session.Store(entry.object); err != nil {
				return err
			}
		}
		if err := p.again(ctx, held); err != nil {
			return err
		}
	}
	return nil
}

// asked says whether the webhook decides on an object in the session.
func (p *planner) asked(object manifest.Object) bool {
	return p.governed[object.GetNamespace()] && !p.session.Keeps(object.Unstructured)
}

// again decides anew on what leads to entries that are not sealed after all.
func (p *planner) again(ctx context.Context, held *entries) error {
	stays := map[*unstructured.Unstructured]bool{}
	p.leading(func(of *Object) { stays[of.Unstructured] = of.State == Stays })
	for _, object := range p.stored {
		if stays[object.Unstructured] || !p.asked(object) || len(held.led(object.Unstructured)) == 0 {
			continue
		}
		if err := p.session.Store(object); err != nil {
			return err
		}
		if err := p.take(ctx, object); err != nil {
			return err
		}
	}
	return nil
}

// wait finds the entries that must wait now, and has the plan say so.
func (p *planner) wait() *entries {
	all, held := p.entries(), p.newEntries()
	p.leading(func(of *Object) {
		if of.State != Stays {
			return
		}
		for _, entry := range all.led(of.Unstructured) {
			if entry.of.State != Waits {
				held.add(entry)
			}
			entry.of.State = Waits
			entry.of.For = fmt.Sprintf("%s %s/%s leads its calls, and would be %s", of.GetKind(), of.GetNamespace(), of.GetName(), of.Verdict)
		}
	})
	return held
}

// leading hands over what may lead calls of entries.
func (p *planner) leading(do func(of *Object)) {
	p.each(func(of *Object) {
		if of.GetKind() != "ServiceEntry" {
			do(of)
		}
	})
	for i := range p.beside {
		do(&p.beside[i])
	}
}

// entries returns those that are to be sealed.
func (p *planner) entries() *entries {
	out := p.newEntries()
	p.each(func(of *Object) {
		if of.State == Seal || of.State == Held {
			out.add(&sealing{of: of, object: of.Object, hosts: hostsOf(of.Unstructured), seen: seenBy(of.Unstructured)})
		}
	})
	return out
}
