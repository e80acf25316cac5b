package registry

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// maxTaken is how many servers of others on the pods of an egress gateway are told of one by one.
const maxTaken = 10

// takers are the Gateway objects of others on the pods of one egress gateway, and what they take from it there. They are kept as these
// objects, pods and Services come and go: whoever makes thousands of them has each looked at once.
type takers struct {
	on map[types.NamespacedName]bool
	// of are those that take something, by name.
	of []*taker
	// servers are all by which they do.
	servers int
}

// taker is a Gateway object, what it takes by the first of its servers, and by how many it does.
type taker struct {
	name    types.NamespacedName
	found   []egress.Finding
	servers int
}

// swap puts what a Gateway object takes in the place of what it took.
func (t *takers) swap(name types.NamespacedName, on bool, next *taker) {
	if delete(t.on, name); on {
		t.on[name] = true
	}
	at, known := slices.BinarySearchFunc(t.of, name, func(of *taker, name types.NamespacedName) int { return compareNames(of.name, name) })
	if known {
		t.servers -= t.of[at].servers
		t.of = slices.Delete(t.of, at, at+1)
	}
	if next != nil {
		t.servers += next.servers
		t.of = slices.Insert(t.of, at, next)
	}
}

// findings are of the first servers, and of how many more there are; nil are the takers of a gateway that the mesh does not have.
func (t *takers) findings(gw egress.Gateway) (out []egress.Finding) {
	if t == nil {
		return nil
	}
	for _, of := range t.of {
		if out = append(out, of.found...); len(out) >= maxTaken {
			out = out[:maxTaken]
			break
		}
	}
	if more := t.servers - len(out); more > 0 {
		out = append(out, egress.Finding{
			Code:    codeForeign,
			Message: fmt.Sprintf("%d more servers on the pods of egress gateway %q take something from it: %d Gateways have such", more, gw.Name, len(t.of)),
			Fix:     "mend those that are named, and the next are named",
		})
	}
	return out
}

const codeForeign = "foreign-gateway"

// takes returns what a Gateway object on its pods takes from an egress gateway, nil for nothing.
func takes(binding *egress.Binding, gw egress.Gateway, service *egress.Service) *taker {
	refused := hop.CheckBinding(binding, gw, service)
	if len(refused) == 0 {
		return nil
	}
	out := &taker{name: types.NamespacedName{Namespace: binding.Namespace, Name: binding.Name}, servers: len(refused)}
	for _, taken := range refused[:min(len(refused), maxTaken)] {
		out.found = append(out.found, egress.Finding{
			Code:    codeForeign,
			Message: fmt.Sprintf("Gateway %s/%s, %s: %s", binding.Namespace, binding.Name, taken.Field, taken.Message),
			Fix:     "in that Gateway, " + taken.Fix,
		})
	}
	return out
}

// take looks at what the Gateway object of a name takes from an egress gateway.
func (r *Registry) take(gw egress.Gateway, name types.NamespacedName) {
	binding := r.bindings[name]
	if binding == nil || binding.Kept || !binding.OpensOn(gw, r.pods.sets[gw.Namespace()]) {
		r.takers[gw.Name].swap(name, false, nil)
		return
	}
	r.takers[gw.Name].swap(name, true, takes(binding, gw, r.services[gw.Service]))
}

// takeAll looks at every Gateway object.
func (r *Registry) takeAll(gw egress.Gateway) {
	for name := range r.bindings {
		r.take(gw, name)
	}
}

// takeOn looks at the Gateway objects that labels of a pod bring to an egress gateway, which it had none of.
func (r *Registry) takeOn(gw egress.Gateway, pod map[string]string) {
	for name, binding := range r.bindings {
		if !r.takers[gw.Name].on[name] && egress.Selects(binding.Selector, pod) {
			r.take(gw, name)
		}
	}
}

// Problems returns why an egress gateway cannot carry calls: by its Service, and by what other Gateway objects take from
// it on its own pods.
func (r *Registry) Problems(gw egress.Gateway) []egress.Finding {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.problems(gw)
}

func (r *Registry) problems(gw egress.Gateway) []egress.Finding {
	return append(gw.Problems(r.services[gw.Service]), r.takers[gw.Name].findings(gw)...)
}

// Foreign returns what Gateway objects of others take from an egress gateway.
func (r *Registry) Foreign(gw egress.Gateway) []egress.Finding {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.takers[gw.Name].findings(gw)
}

// around makes a change around egress gateways, and tells the entries of those whose first problem, which is what is told of them, is
// another for it.
func (r *Registry) around(change func()) {
	r.mu.Lock()
	before := r.firstProblems()
	change()
	var out Change
	for i, first := range r.firstProblems() {
		if first != before[i] {
			out.Entries = append(out.Entries, r.sealedTo(r.mesh.Gateways[i])...)
		}
	}
	r.mu.Unlock()
	r.tell(out)
}

// firstProblems returns that of each egress gateway, the zero value for none.
func (r *Registry) firstProblems() []egress.Finding {
	out := make([]egress.Finding, len(r.mesh.Gateways))
	for i, gw := range r.mesh.Gateways {
		copy(out[i:i+1], r.problems(gw))
	}
	return out
}
