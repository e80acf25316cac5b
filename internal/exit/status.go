package exit

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/registry"
)

// ConditionExitReady is the condition in a ServiceEntry's status that tells its author whether calls get out.
const ConditionExitReady = "ExitReady"

// Reasons of ConditionExitReady.
const (
	reasonConfigured = "ExitConfigured"
	reasonConflict   = "HostConflict"
	reasonFailed     = "ExitFailed"
	reasonGateway    = "GatewayNotReady"
)

type condition struct{ status, reason, message string }

// report writes ConditionExitReady to every entry that is sealed to the gateway. failure is why the exit set could not
// be written, nil when it was.
func (r *Reconciler) report(ctx context.Context, entries []*egress.Entry, gateway string, failure error) error {
	var errs []error
	for _, entry := range entries {
		if entry.Gateway == gateway {
			errs = append(errs, r.reportTo(ctx, entry, r.judge(entry, failure)))
		}
	}
	return errors.Join(errs...)
}

// judge looks at all hosts of an entry: it is ready when none of them is another's.
func (r *Reconciler) judge(entry *egress.Entry, failure error) condition {
	for _, host := range entry.Hosts {
		owner := registry.Owner(r.Entries.Entries(host), entry.Gateway)
		if owner == nil {
			continue
		}
		if reason := registry.Differs(owner.Definition, entry.Definition); reason != "" {
			return condition{"False", reasonConflict, fmt.Sprintf("host %q is defined otherwise by ServiceEntry %s/%s, which is older: %s",
				host, owner.Namespace, owner.Name, reason)}
		}
	}
	if failure != nil {
		return condition{"False", reasonFailed, failure.Error()}
	}
	if gw, ok := r.Mesh.GatewayByName(entry.Gateway); ok {
		if problems := r.Entries.GatewayProblems(gw); len(problems) > 0 {
			return condition{"False", reasonGateway, problems[0].Message}
		}
	}
	return condition{"True", reasonConfigured, fmt.Sprintf("egress gateway %q has the exit of every host", entry.Gateway)}
}

func (r *Reconciler) reportTo(ctx context.Context, entry *egress.Entry, want condition) error {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(schema.GroupVersionKind{Group: "networking.istio.io", Version: "v1", Kind: "ServiceEntry"})
	err := r.Authors.Get(ctx, types.NamespacedName{Namespace: entry.Namespace, Name: entry.Name}, object)
	if err != nil || string(object.GetUID()) != entry.UID {
		return client.IgnoreNotFound(err)
	}
	before := object.DeepCopy()
	if !setCondition(object, want, time.Now()) {
		return nil
	}
	if want.reason == reasonConflict {
		r.Recorder.Eventf(object, nil, corev1.EventTypeWarning, want.reason, "ConfigureExit", "%s", want.message)
	}
	err = r.Authors.Status().Patch(ctx, object, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	return client.IgnoreNotFound(err)
}

// setCondition puts the condition among the others and says whether anything changed. The transition time moves only
// with the status.
func setCondition(object *unstructured.Unstructured, want condition, now time.Time) bool {
	conditions, _, _ := unstructured.NestedSlice(object.Object, "status", "conditions")
	next := map[string]any{
		"type": ConditionExitReady, "status": want.status, "reason": want.reason, "message": want.message,
		"lastTransitionTime": now.UTC().Format(time.RFC3339),
	}
	at := len(conditions)
	for i, item := range conditions {
		last, _ := item.(map[string]any)
		if last["type"] != ConditionExitReady {
			continue
		}
		at = i
		if last["status"] == want.status {
			if last["reason"] == want.reason && last["message"] == want.message {
				return false
			}
			next["lastTransitionTime"] = last["lastTransitionTime"]
		}
	}
	if at == len(conditions) {
		conditions = append(conditions, next)
	} else {
		conditions[at] = next
	}
	return unstructured.SetNestedSlice(object.Object, conditions, "status", "conditions") == nil
}
