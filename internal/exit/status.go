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

	"github.com/egress-governor/egress-governor/internal/condition"
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
func (r *Reconciler) judge(entry *egress.Entry, failure error) condition.Condition {
	for _, host := range entry.Hosts {
		owner := registry.Owner(r.Entries.Entries(host), entry.Gateway)
		if owner == nil {
			continue
		}
		if reason := registry.Differs(owner.Definition, entry.Definition); reason != "" {
			return exitReady("False", reasonConflict, fmt.Sprintf("host %q is defined otherwise by ServiceEntry %s/%s, which is older: %s",
				host, owner.Namespace, owner.Name, reason))
		}
	}
	if failure != nil {
		return exitReady("False", reasonFailed, failure.Error())
	}
	if gw, ok := r.Mesh.GatewayByName(entry.Gateway); ok {
		if problems := r.Entries.GatewayProblems(gw); len(problems) > 0 {
			return exitReady("False", reasonGateway, problems[0].Message)
		}
	}
	return exitReady("True", reasonConfigured, fmt.Sprintf("egress gateway %q has the exit of every host", entry.Gateway))
}

func exitReady(status, reason, message string) condition.Condition {
	return condition.Condition{Type: ConditionExitReady, Status: status, Reason: reason, Message: message}
}

func (r *Reconciler) reportTo(ctx context.Context, entry *egress.Entry, want condition.Condition) error {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(schema.GroupVersionKind{Group: "networking.istio.io", Version: "v1", Kind: "ServiceEntry"})
	err := r.Authors.Get(ctx, types.NamespacedName{Namespace: entry.Namespace, Name: entry.Name}, object)
	if err != nil || string(object.GetUID()) != entry.UID {
		return client.IgnoreNotFound(err)
	}
	before := object.DeepCopy()
	if !condition.Set(object, want, time.Now()) {
		return nil
	}
	if want.Reason == reasonConflict {
		r.Recorder.Eventf(object, nil, corev1.EventTypeWarning, want.Reason, "ConfigureExit", "%s", want.Message)
	}
	err = r.Authors.Status().Patch(ctx, object, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	return client.IgnoreNotFound(err)
}
