package policy

import (
	"fmt"
	"maps"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Input returns the document by which policies evaluate a review, for the object's own namespace and without parameters.
func (r Review) Input() (map[string]any, error) {
	return r.with(Client{}, ast.NewTerm(ast.NewObject()))
}

// Input returns the document by which a policy in force evaluates a review; nil where it is not asked about it. Parameters that
// it sees as sets are lists there. The error is that of a policy that is not in force.
func (e *Engine) Input(name string, review Review) (map[string]any, error) {
	for _, policy := range *e.snapshot.Load() {
		if policy.name != name {
			continue
		}
		if policy.broken != nil {
			return nil, policy.broken
		}
		client, asked, _ := policy.asks(review, review.others())
		if !asked {
			return nil, nil
		}
		return review.with(client, policy.parameters)
	}
	return nil, fmt.Errorf("no EgressPolicy %q is in force", name)
}

func (r Review) with(client Client, parameters *ast.Term) (map[string]any, error) {
	out := maps.Clone(r.Document)
	for key, term := range map[string]*ast.Term{"client": r.client(client), "parameters": parameters} {
		value, err := ast.JSON(term.Value)
		if err != nil {
			return nil, err
		}
		out[key] = value
	}
	return out, nil
}
