package controller

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// running returns the pods that take calls.
func running(given []corev1.Pod) (out []corev1.Pod) {
	for _, pod := range given {
		if pod.DeletionTimestamp == nil && pod.Status.Phase == corev1.PodRunning {
			out = append(out, pod)
		}
	}
	return out
}

// pods says why no proxy takes a gateway's exits; given are the running ones that the gateway's selector matches.
func pods(gw egress.Gateway, given []corev1.Pod) []egress.Finding {
	if len(given) > 0 {
		return nil
	}
	return []egress.Finding{{
		Code: "gateway-without-pods",
		Message: fmt.Sprintf("no running pod of namespace %s matches the selector %s of egress gateway %q: every call through it fails",
			gw.Namespace(), labels.Set(gw.Selector), gw.Name),
		Fix: "start the gateway, or correct its selector in the configuration",
	}}
}

// ungoverned says what governed clients reach by entries of namespaces that are not governed.
func ungoverned(entries []string) []egress.Finding {
	if len(entries) == 0 {
		return nil
	}
	return []egress.Finding{{
		Code:    "ungoverned-entry",
		Message: fmt.Sprintf("governed namespaces see external ServiceEntries of namespaces that are not governed, whose calls leave directly: %s", someOf(entries)),
		Fix:     `set exportTo: ["."] in them, or move them to a governed namespace`,
	}}
}

// unsealed says what of governed namespaces was stored before the webhook, or past it.
func unsealed(entries []string) []egress.Finding {
	if len(entries) == 0 {
		return nil
	}
	return []egress.Finding{{
		Code:    "unsealed-entry",
		Message: fmt.Sprintf("external ServiceEntries of governed namespaces are not sealed, and their calls leave directly: %s", someOf(entries)),
		Fix:     "seal them by egressctl adopt, or write each once by kubectl apply --server-side, since plain kubectl apply sends nothing of an unchanged manifest",
	}}
}

// someOf names the first three.
func someOf(names []string) string {
	out := strings.Join(names[:min(len(names), 3)], ", ")
	if len(names) > 3 {
		out += fmt.Sprintf(" and %d more", len(names)-3)
	}
	return out
}

// opened says which Sidecars let out what is to be blocked.
func opened(sidecars []string) []egress.Finding {
	if len(sidecars) == 0 {
		return nil
	}
	return []egress.Finding{{
		Code:    "sidecar-allow-any",
		Message: fmt.Sprintf("Sidecars let out what no ServiceEntry names, and could not be completed: %s", someOf(sidecars)),
		Fix:     "apply them again without outboundTrafficPolicy; the answer says what else is in the way",
	}}
}

// unclosed says which objects that close governed namespaces are not there.
func unclosed(objects []string) []egress.Finding {
	if len(objects) == 0 {
		return nil
	}
	return []egress.Finding{{
		Code:    "namespace-not-closed",
		Message: fmt.Sprintf("objects of ours that close governed namespaces could not be written, and what they are to drop leaves: %s", someOf(objects)),
		Fix:     "see in the log of the webhook's leader what refuses them: a quota, a policy, or another object of that name",
	}}
}

// outbound says what leaves beside the gateways, by Istio's mesh configuration; nil where that is not there.
func outbound(mesh *meshSettings) []egress.Finding {
	if mesh == nil || mesh.registryOnly() {
		return nil
	}
	return []egress.Finding{{
		Code: "outbound-allow-any",
		Message: "the mesh's outboundTrafficPolicy is ALLOW_ANY: hosts that no ServiceEntry names, and unnamed ports of governed hosts, " +
			"leave directly and are not governed",
		Fix: "set meshConfig.outboundTrafficPolicy.mode to REGISTRY_ONLY, or config.unregistered to Block",
	}}
}

// conditionReady is the condition in the status of the Gateway objects we keep.
const conditionReady = "Ready"

// write tells of the problems in the status of the Gateway object of every egress gateway that they concern, when it
// does not say so already. A Gateway that is not there yet is told of them later.
func (p *Preflight) write(ctx context.Context, found []Problem) error {
	var errs []error
	for _, gw := range p.Mesh.Gateways {
		errs = append(errs, client.IgnoreNotFound(p.writeTo(ctx, gw, gatewayReady(gw, found))))
	}
	return errors.Join(errs...)
}

func gatewayReady(gw egress.Gateway, found []Problem) condition {
	out := condition{Type: conditionReady, Status: "True", Reason: "NoProblem", Message: "preflight found nothing wrong"}
	var messages []string
	for _, problem := range found {
		if problem.Gateway != gw.Name && problem.Gateway != "" {
			continue
		}
		if len(messages) == 0 {
			out.Status, out.Reason = "False", problem.Reason()
		}
		messages = append(messages, problem.sentence())
		out.Message = strings.Join(messages, "; ")
	}
	return out
}

func (p *Preflight) writeTo(ctx context.Context, gw egress.Gateway, want condition) error {
	object := empty(istio("Gateway"))
	if err := p.Live.Get(ctx, types.NamespacedName{Namespace: gw.Namespace(), Name: hop.GatewayName(gw)}, object); err != nil {
		return err
	}
	before := object.DeepCopy()
	stored, _, _ := unstructured.NestedSlice(object.Object, "status", "conditions")
	conditions, changed := want.among(stored, object.GetGeneration(), time.Now())
	if !changed {
		return nil
	}
	if err := unstructured.SetNestedSlice(object.Object, conditions, "status", "conditions"); err != nil {
		return err
	}
	return p.Status.Status().Patch(ctx, object, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
}
