package controller

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// peerAuthentication is what preflight reads of a PeerAuthentication.
type peerAuthentication struct {
	metav1.Object
	// selector is empty for one of a whole namespace, or of the mesh.
	selector labels.Set
	mode     string
	// ports has the modes of ports of the selected workloads.
	ports map[string]any
}

func (p peerAuthentication) String() string { return p.GetNamespace() + "/" + p.GetName() }

// peerAuthentications returns all, oldest first, as Istio goes by them.
func (p *Preflight) peerAuthentications(ctx context.Context) (out []peerAuthentication, err error) {
	list := emptyList(schema.GroupVersionKind{Group: "security.istio.io", Version: "v1", Kind: "PeerAuthentication"})
	if err := p.Live.List(ctx, list); err != nil {
		return nil, ifKnown(fmt.Errorf("PeerAuthentications: %w", err))
	}
	for i := range list.Items {
		item := &list.Items[i]
		policy := peerAuthentication{Object: item}
		policy.selector, _, _ = unstructured.NestedStringMap(item.Object, "spec", "selector", "matchLabels")
		policy.mode, _, _ = unstructured.NestedString(item.Object, "spec", "mtls", "mode")
		policy.ports, _, _ = unstructured.NestedMap(item.Object, "spec", "portLevelMtls")
		out = append(out, policy)
	}
	slices.SortFunc(out, func(a, b peerAuthentication) int {
		return cmp.Or(a.GetCreationTimestamp().Compare(b.GetCreationTimestamp().Time), cmp.Compare(a.GetName(), b.GetName()), cmp.Compare(a.GetNamespace(), b.GetNamespace()))
	})
	return out, nil
}

// disabled says which PeerAuthentications have calls reach an egress gateway in clear. They are those of the mesh and of
// the entries' own namespaces: to Istio, a sealed host is a service of the namespace of its entry.
func disabled(gw egress.Gateway, around surroundings, calls []automatic) (out []egress.Finding) {
	by := map[bool][]string{}
	decided := map[string]bool{}
	for _, call := range calls {
		namespace := call.entry.Namespace
		if decided[namespace] || encryption(call.root, call.port) != nil {
			continue
		}
		decided[namespace] = true
		if policy := disabling(around.policies, around.mesh.RootNamespace, namespace, gw.HTTPPort); policy != nil {
			ofMesh := policy.GetNamespace() == around.mesh.RootNamespace
			by[ofMesh] = append(by[ofMesh], policy.String())
		}
	}
	for _, ofMesh := range []bool{true, false} {
		names := by[ofMesh]
		if len(names) == 0 {
			continue
		}
		slices.Sort(names)
		whose := "the namespace"
		if ofMesh {
			whose = "the mesh"
		}
		out = append(out, egress.Finding{
			Code: "mtls-disabled",
			Message: fmt.Sprintf("PeerAuthentication %s has mode DISABLE for %s: HTTP calls of the entries there reach egress gateway %q without mutual TLS, and it refuses them",
				someOf(slices.Compact(names)), whose, gw.Name),
			Fix: "set its mode to PERMISSIVE or STRICT, and DISABLE for the workloads that need it, by a selector",
		})
	}
	return out
}

// disabling returns the policy by which clients call the endpoint of sealed entries of a namespace in clear, nil for none.
// Policies come oldest first: of several of one scope, the first counts.
func disabling(policies []peerAuthentication, root, namespace string, port uint32) *peerAuthentication {
	scope := func(of string, holds func(peerAuthentication) bool) *peerAuthentication {
		if i := slices.IndexFunc(policies, func(p peerAuthentication) bool { return p.GetNamespace() == of && holds(p) }); i >= 0 {
			return &policies[i]
		}
		return nil
	}
	whole := func(p peerAuthentication) bool { return len(p.selector) == 0 }
	for _, policy := range []*peerAuthentication{scope(namespace, whole), scope(root, whole)} {
		if policy == nil || !isSet(policy.mode) {
			continue
		}
		if policy.mode == "DISABLE" {
			return policy
		}
		break
	}
	// The only label of the endpoint is one that all injected pods have.
	some := scope(namespace, func(p peerAuthentication) bool {
		return len(p.selector) > 0 && p.selector.AsSelector().Matches(labels.Set(hop.SealedLabels()))
	})
	if some == nil || namespace == root {
		return nil
	}
	mode := some.mode
	if own, _, _ := unstructured.NestedString(some.ports, strconv.Itoa(int(port)), "mode"); isSet(own) {
		mode = own
	}
	if mode == "DISABLE" {
		return some
	}
	return nil
}

func isSet(mode string) bool { return mode != "" && mode != "UNSET" }

// ifKnown drops the error of a kind that the cluster does not have.
func ifKnown(err error) error {
	if meta.IsNoMatchError(err) {
		return nil
	}
	return err
}
