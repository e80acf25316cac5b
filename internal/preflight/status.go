package preflight

import (
	"context"
	"errors"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// conditionReady is the condition in the status of the Gateway objects we keep.
const conditionReady = "Ready"

// write tells of the problems in the status of the Gateway object of every egress gateway, when they have changed. A
// Gateway that is not there yet is told of them later.
func (w *Watch) write(ctx context.Context, found []Problem) error {
	if w.said == nil {
		w.said = map[string]string{}
	}
	status, reason, messages := "True", "NoProblem", []string{"preflight found nothing wrong"}
	if len(found) > 0 {
		status, reason, messages = "False", found[0].Code, nil
		for _, problem := range found {
			messages = append(messages, problem.Message)
		}
	}
	message := strings.Join(messages, "; ")
	var errs []error
	for _, gw := range w.Mesh.Gateways {
		if w.said[gw.Name] == message {
			continue
		}
		err := w.condition(ctx, gw, map[string]any{
			"type": conditionReady, "status": status, "reason": reason, "message": message,
			"lastTransitionTime": time.Now().UTC().Format(time.RFC3339),
		})
		if apierrors.IsNotFound(err) {
			continue
		}
		if err == nil {
			w.said[gw.Name] = message
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// condition writes a gateway's condition unless it says so already, as after a restart.
func (w *Watch) condition(ctx context.Context, gw egress.Gateway, next map[string]any) error {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(schema.GroupVersionKind{Group: "networking.istio.io", Version: "v1", Kind: "Gateway"})
	if err := w.Live.Get(ctx, client.ObjectKeyFromObject(hop.GatewayObject(gw)), object); err != nil {
		return err
	}
	before := object.DeepCopy()
	conditions, _, _ := unstructured.NestedSlice(object.Object, "status", "conditions")
	kept := make([]any, 0, len(conditions)+1)
	for _, item := range conditions {
		last, _ := item.(map[string]any)
		if last["type"] != conditionReady {
			kept = append(kept, item)
		} else if last["status"] == next["status"] && last["message"] == next["message"] {
			return nil
		}
	}
	if err := unstructured.SetNestedSlice(object.Object, append(kept, next), "status", "conditions"); err != nil {
		return err
	}
	return w.Status.Status().Patch(ctx, object, client.MergeFrom(before))
}
