package preflight

import (
	"context"
	"errors"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/internal/condition"
	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// conditionReady is the condition in the status of the Gateway objects we keep.
const conditionReady = "Ready"

// write tells of the problems in the status of the Gateway object of every egress gateway, when it does not say so
// already. A Gateway that is not there yet is told of them later.
func (w *Watch) write(ctx context.Context, found []Problem) error {
	want := condition.Condition{Type: conditionReady, Status: "True", Reason: "NoProblem", Message: "preflight found nothing wrong"}
	if len(found) > 0 {
		var messages []string
		for _, problem := range found {
			messages = append(messages, problem.Message)
		}
		want.Status, want.Reason, want.Message = "False", found[0].Code, strings.Join(messages, "; ")
	}
	var errs []error
	for _, gw := range w.Mesh.Gateways {
		errs = append(errs, client.IgnoreNotFound(w.writeTo(ctx, gw, want)))
	}
	return errors.Join(errs...)
}

func (w *Watch) writeTo(ctx context.Context, gw egress.Gateway, want condition.Condition) error {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(schema.GroupVersionKind{Group: "networking.istio.io", Version: "v1", Kind: "Gateway"})
	if err := w.Live.Get(ctx, client.ObjectKeyFromObject(hop.GatewayObject(gw)), object); err != nil {
		return err
	}
	before := object.DeepCopy()
	if !condition.Set(object, want, time.Now()) {
		return nil
	}
	return w.Status.Status().Patch(ctx, object, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
}
