package render

import (
	"context"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/egress-governor/egress-governor/internal/review"
)

// Audit judges an object that is stored, as the audit of a cluster does; nil for one that nobody governs. The error is that of an
// object that cannot be evaluated.
func (c *Cluster) Audit(ctx context.Context, object *unstructured.Unstructured) (*review.Outcome, error) {
	namespace, governed := c.governed(object)
	if !governed {
		return nil, nil
	}
	return c.reviewer.Review(ctx, review.Request{
		Operation: review.Audit, Object: object, Name: object.GetName(), Time: c.now, Namespace: namespace,
	})
}

// Suspensions returns the entries that say of themselves that they are suspended, with why.
func (c *Cluster) Suspensions() map[types.NamespacedName]string { return c.index.Suspensions() }

// Sealed returns how many entries are sealed to an egress gateway.
func (c *Cluster) Sealed() int { return c.index.Sealed() }
