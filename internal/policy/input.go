package policy

import (
	"fmt"
	"maps"

	"github.com/open-policy-agent/opa/v1/ast"
)

// inputs makes those of policies that are asked about a review one after the other.
type inputs map[string]any

// newInputs keeps what inputs have of a document. What some policy reads of it is converted then, once: most of a large object nobody
// reads.
func newInputs(document map[string]any) inputs {
	out := make(inputs, len(document)+2)
	for key, value := range document {
		out[key] = value
		if object, is := value.(map[string]any); is {
			out[key] = ast.LazyObject(object)
		}
	}
	return out
}

// of returns the input of one policy, until that of the next. What cannot be converted panics when it is read.
func (i inputs) of(client, parameters *ast.Term) ast.Object {
	i["client"], i["parameters"] = client.Value, parameters.Value
	return ast.LazyObject(i)
}

// Input returns the document by which policies evaluate a review, for the object's own namespace and without parameters.
func (r Review) Input() (map[string]any, error) {
	return r.with(Client{}, ast.NewTerm(ast.NewObject()))
}

// Input returns the document by which a policy in force evaluates a review; nil where it is not asked about it. Parameters that
// it sees as sets are lists there. The error is that of a policy that is not in force.
func (e *Engine) Input(name string, review Review) (map[string]any, error) {
	policy := e.snapshot.Load().named(name)
	if policy == nil {
		return nil, fmt.Errorf("no EgressPolicy %q is in force", name)
	}
	if policy.broken != nil {
		return nil, policy.broken
	}
	client, asked, _ := policy.asks(review)
	if !asked {
		return nil, nil
	}
	return review.with(client, policy.parameters)
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
