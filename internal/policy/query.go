package policy

import (
	"context"
	"fmt"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/metrics"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// query is what a policy is asked, compiled. It is OPA's evaluation without package rego, which would make of each result all that any
// program may want to know of it.
type query struct {
	body     ast.Body
	of       ast.QueryCompiler
	compiler *ast.Compiler
	// data is nil for a policy of no bundle.
	data storage.Store
}

func newQuery(text string, compiler *ast.Compiler, data storage.Store) (*query, error) {
	body, err := ast.ParseBody(text)
	if err != nil {
		return nil, err
	}
	of := compiler.QueryCompiler()
	if body, err = of.Compile(body); err != nil {
		return nil, err
	}
	return &query{body, of, compiler, data}, nil
}

// unmeasured: OPA would time its steps for nobody.
var unmeasured = metrics.NoOp()

// noData is the store of policies that are of no bundle, unwritten the one view that all have of it. Nothing is in it to be kept.
var (
	noData       = inmem.New()
	unwritten, _ = noData.NewTransaction(context.Background())
)

// nothing is what is kept of no data.
type nothing struct{}

// Get implements topdown.BaseCache.
func (nothing) Get(ast.Ref) ast.Value { return nil }

// Put implements topdown.BaseCache.
func (nothing) Put(ast.Ref, ast.Value) {}

// ask returns what the rules deny and warn come to, nil for one that the policy does not have; known is used meanwhile. Whoever watches
// has a say in how it is evaluated.
func (q *query) ask(ctx context.Context, one *evaluation, input ast.Object, known *results, watched func(*topdown.Query)) (deny, warn *ast.Term, err error) {
	known.begin()
	next := topdown.NewQuery(q.body).WithQueryCompiler(q.of).WithCompiler(q.compiler).WithInput(ast.NewTerm(input)).WithCancel(one.cancel).
		WithStrictBuiltinErrors(true).WithMetrics(unmeasured).WithVirtualCache(known)
	if q.data == nil {
		next.WithStore(noData).WithTransaction(unwritten).WithBaseCache(nothing{})
	} else {
		txn, err := q.data.NewTransaction(ctx)
		if err != nil {
			return nil, nil, err
		}
		defer q.data.Abort(ctx, txn)
		next.WithStore(q.data).WithTransaction(txn)
	}
	if watched != nil {
		watched(next)
	}
	var got struct {
		topdown.QueryResult
		count int
	}
	err = next.Iter(ctx, func(result topdown.QueryResult) error {
		got.QueryResult, got.count = result, got.count+1
		return nil
	})
	if err == nil && got.count != 1 {
		err = fmt.Errorf("%d results where one was expected", got.count)
	}
	return got.QueryResult["deny"], got.QueryResult["warn"], err
}
