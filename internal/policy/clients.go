package policy

import (
	"iter"
	"math/bits"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
)

// Namespace is one with its labels.
type Namespace struct {
	Name   string
	Labels map[string]string
}

// Namespaces are the governed namespaces of a moment, sorted by name. They never change, and are one comparable value until
// the next moment: by it the engine remembers which of them a policy selects.
type Namespaces interface {
	Len() int
	// At returns the name and the labels of one.
	At(i int) (name string, labels map[string]string)
	// Index returns the place of one, false for one that is not among them.
	Index(name string) (int, bool)
}

// Clients are the namespaces that an object acts on.
type Clients struct {
	// Governed are all that are governed, nil for none.
	Governed Namespaces
	// All says that the object acts on all of them, Names on which otherwise.
	All   bool
	Names []string
}

// Client is a namespace for which a policy was asked, where it does not select the object's own; the zero value otherwise.
type Client struct {
	Name string
	// More is how many other clients the policy selects.
	More int
}

// places are those of namespaces among the governed ones, a bit for each: thousands of clients are held against what each of
// a hundred policies selects.
type places []uint64

func newPlaces(size int) places { return make(places, (size+63)/64) }

func (p places) add(i int) { p[i/64] |= 1 << (i % 64) }

func (p places) remove(i int) { p[i/64] &^= 1 << (i % 64) }

func (p places) has(i int) bool { return p[i/64]&(1<<(i%64)) != 0 }

// both returns the places that are in both.
func (p places) both(other places) places {
	out := make(places, len(p))
	for i := range p {
		out[i] = p[i] & other[i]
	}
	return out
}

// all goes through the places in their order.
func (p places) all() iter.Seq[int] {
	return func(yield func(int) bool) {
		for i, word := range p {
			for ; word != 0; word &= word - 1 {
				if !yield(i*64 + bits.TrailingZeros64(word)) {
					return
				}
			}
		}
	}
}

// common returns the first place that is in both, and how many are.
func (p places) common(other places) (first, count int) {
	for i := range p {
		both := p[i] & other[i]
		if count == 0 {
			first = i*64 + bits.TrailingZeros64(both)
		}
		count += bits.OnesCount64(both)
	}
	return first, count
}

// others returns the clients of the object beside its own namespace, nil for none.
func (r Review) others() places {
	governed := r.Clients.Governed
	if governed == nil || (!r.Clients.All && len(r.Clients.Names) == 0) {
		return nil
	}
	out := newPlaces(governed.Len())
	if r.Clients.All {
		for i := range governed.Len() {
			out.add(i)
		}
	}
	for _, name := range r.Clients.Names {
		if i, known := governed.Index(name); known {
			out.add(i)
		}
	}
	// What is known of the object's own comes with the request, and may be newer.
	if i, known := governed.Index(r.Namespace.Name); known {
		out.remove(i)
	}
	return out
}

// selection is which of the governed namespaces of a moment a policy selects.
type selection struct {
	of       Namespaces
	selected places
}

// selected returns what the policy selects of the governed namespaces, each matched once while none of them changes.
func (c *compiled) selected(governed Namespaces) places {
	if last := c.selection.Load(); last != nil && last.of == governed {
		return last.selected
	}
	next := &selection{of: governed, selected: newPlaces(governed.Len())}
	for i := range governed.Len() {
		if name, set := governed.At(i); c.match.namespace(name, set) {
			next.selected.add(i)
		}
	}
	c.selection.Store(next)
	return next.selected
}

// selects says whether a policy that evaluates the kind is asked about an object, and for which of its other clients: for none
// where it selects the object's own namespace, or else for the first by name.
func (c *compiled) selects(review Review, own bool, others places) (client Client, asked bool) {
	if !c.match.object(review.Labels) {
		return Client{}, false
	}
	if own {
		return Client{}, true
	}
	if others == nil {
		return Client{}, false
	}
	first, count := others.common(c.selected(review.Clients.Governed))
	if count == 0 {
		return Client{}, false
	}
	name, _ := review.Clients.Governed.At(first)
	return Client{Name: name, More: count - 1}, true
}

// asks says whether a policy is asked about a review: it selects it, and applies to its user, who is exempt otherwise.
func (c *compiled) asks(review Review) (client Client, asked, exempt bool) {
	if !slices.Contains(c.kinds, v1alpha1.Kind(review.Kind)) {
		return Client{}, false, false
	}
	client, selected := c.selects(review, c.match.namespace(review.Namespace.Name, review.Namespace.Labels), review.others())
	exempt = selected && c.match.exempts(review.User)
	return client, selected && !exempt, exempt
}

// client returns a client as policies read it: the object's own namespace where that is the one.
func (r Review) client(other Client) *ast.Term {
	of := r.Namespace
	if other.Name != "" {
		i, _ := r.Clients.Governed.Index(other.Name)
		of.Name, of.Labels = r.Clients.Governed.At(i)
	}
	set := ast.NewObject()
	for key, value := range of.Labels {
		set.Insert(ast.StringTerm(key), ast.StringTerm(value))
	}
	return ast.ObjectTerm(ast.Item(ast.InternedTerm("name"), ast.StringTerm(of.Name)), ast.Item(ast.InternedTerm("labels"), ast.NewTerm(set)))
}
