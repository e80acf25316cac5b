package controller

import (
	"context"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/egress-governor/egress-governor/internal/span"
)

// traced has each turn of a reconciler told as a span, under the name of its controller.
func traced[T comparable](name string, of reconcile.TypedReconciler[T]) reconcile.TypedReconciler[T] {
	return reconcile.TypedFunc[T](func(ctx context.Context, item T) (reconcile.Result, error) {
		ctx, turn := span.Whole(ctx, "reconcile "+name)
		defer turn.End()
		if turn.Recorded() {
			about(turn, item)
		}
		out, err := of.Reconcile(ctx, item)
		if err != nil {
			turn.Fail("failed")
		}
		return out, err
	})
}

// about tells what a turn is about.
func about(turn span.Span, item any) {
	switch of := item.(type) {
	case exitKey:
		turn.Set(span.Namespace, of.Namespace)
		turn.Set(span.Host, of.Host)
	case types.NamespacedName:
		turn.Set(span.Namespace, of.Namespace)
		turn.Set(span.Name, of.Name)
	}
}
