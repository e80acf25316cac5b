package integration

import (
	"context"
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/test/controlplane"
	"github.com/egress-governor/egress-governor/test/proof"
)

// plane is a control plane that holds one case after another.
type plane struct {
	*controlplane.ControlPlane
	// telling is a client that is told warnings, heard what it was told.
	telling client.Client
	heard   *warnings
	// known are the namespaces that were made.
	known map[string]bool
}

// configure has the webhook run with a transport of its one gateway. What guards judge is no matter of calls.
func (p *plane) configure(t *testing.T, by string) {
	t.Helper()
	values := oneGateway(by)
	values["guards"] = map[string]any{"enabled": false}
	if p.ControlPlane != nil {
		require.NoError(t, p.StopWebhook())
		p.Configure(values)
		require.NoError(t, p.StartWebhook(t.Context()))
		return
	}
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	options := controlplane.InTree(root, "cases")
	options.Values = values
	p.ControlPlane, err = controlplane.Start(context.WithoutCancel(t.Context()), options)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, p.Stop()) })
	comparing(t, p.ControlPlane)
	gatewayAPI(t, p.Config)
	p.telling, p.heard = telling(t, p.ControlPlane)
	p.addressed(t)
}

// oneGateway are the chart's values by which there is one egress gateway, by a transport.
func oneGateway(by string) map[string]any {
	out := controlplane.GatewayValues("default", controlplane.GatewayNamespace, controlplane.GatewayService, "egressgateway", map[string]any{})
	out["transport"] = by
	return map[string]any{"config": map[string]any{"gateways": []any{out}}}
}

// addressed has the gateway's Service as cases have it: its address decides over what may be led there.
func (p *plane) addressed(t *testing.T) {
	t.Helper()
	service := &corev1.Service{}
	require.NoError(t, p.Client.Get(t.Context(), types.NamespacedName{Namespace: controlplane.GatewayNamespace, Name: controlplane.GatewayService}, service))
	require.NoError(t, p.Client.Delete(t.Context(), service.DeepCopy()))
	service.ResourceVersion, service.UID = "", ""
	service.Spec.ClusterIP, service.Spec.ClusterIPs = proof.GatewayIP, []string{proof.GatewayIP}
	for i := range service.Spec.Ports {
		service.Spec.Ports[i].TargetPort = intstr.FromInt32(service.Spec.Ports[i].Port)
	}
	require.NoError(t, p.Client.Create(t.Context(), service))
}

// surround makes the namespaces of a case, with the labels that it gives them, and has them hold its service accounts and no
// others.
func (p *plane) surround(t *testing.T, objects []*unstructured.Unstructured) {
	t.Helper()
	accounts := map[string]bool{}
	for _, object := range objects {
		switch object.GetKind() {
		case "Namespace":
			p.known[object.GetName()] = true
			namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: object.GetName(), Labels: object.GetLabels()}}
			if err := p.Client.Create(t.Context(), namespace); apierrors.IsAlreadyExists(err) {
				require.NoError(t, p.Client.Patch(t.Context(), namespace, client.RawPatch(types.JSONPatchType, relabelled(t, object))))
			} else {
				require.NoError(t, err)
			}
		case "ServiceAccount":
			accounts[proof.NameOf(object)] = true
			account := &corev1.ServiceAccount{ObjectMeta: named(object.GetNamespace(), object.GetName())}
			require.NoError(t, client.IgnoreAlreadyExists(p.Client.Create(t.Context(), account)))
		}
	}
	for namespace := range p.known {
		var held corev1.ServiceAccountList
		require.NoError(t, p.Client.List(t.Context(), &held, client.InNamespace(namespace)))
		for i := range held.Items {
			if account := &held.Items[i]; !accounts["ServiceAccount/"+namespace+"/"+account.Name] {
				require.NoError(t, p.Client.Delete(t.Context(), account))
			}
		}
	}
}

// relabelled is a patch that gives an object the labels of another, and none besides.
func relabelled(t *testing.T, as *unstructured.Unstructured) []byte {
	t.Helper()
	out, err := json.Marshal([]any{map[string]any{"op": "replace", "path": "/metadata/labels", "value": as.GetLabels()}})
	require.NoError(t, err)
	return out
}

// older waits until what is stored next is younger than the entries, or the VirtualServices, that share a host with it: the API server
// tells ages in seconds.
func (p *plane) older(t *testing.T, object *unstructured.Unstructured) {
	t.Helper()
	if object.GetKind() != "ServiceEntry" && object.GetKind() != "VirtualService" {
		return
	}
	entries := &unstructured.UnstructuredList{}
	entries.SetGroupVersionKind(object.GroupVersionKind())
	require.NoError(t, p.Client.List(t.Context(), entries))
	require.Eventually(t, func() bool {
		now := time.Now().Truncate(time.Second)
		return !slices.ContainsFunc(entries.Items, func(entry unstructured.Unstructured) bool {
			return shareHost(&entry, object) && !entry.GetCreationTimestamp().Time.Before(now)
		})
	}, within, 50*time.Millisecond)
}

func shareHost(a, b *unstructured.Unstructured) bool {
	ours, _, _ := unstructured.NestedStringSlice(a.Object, "spec", "hosts")
	theirs, _, _ := unstructured.NestedStringSlice(b.Object, "spec", "hosts")
	return slices.ContainsFunc(ours, func(host string) bool {
		return slices.ContainsFunc(theirs, func(other string) bool { return egress.Canonical(host) == egress.Canonical(other) })
	})
}

// inForce waits for a policy.
func (p *plane) inForce(t *testing.T, object *unstructured.Unstructured) {
	t.Helper()
	require.Eventually(t, func() bool {
		policy := &v1alpha1.EgressPolicy{}
		return p.Client.Get(t.Context(), client.ObjectKeyFromObject(object), policy) == nil && policy.Status.ObservedGeneration == policy.Generation
	}, within, 100*time.Millisecond, object.GetName())
}

// seen waits until the webhook has seen an object that another may be decided by.
func (p *plane) seen(t *testing.T, object *unstructured.Unstructured) {
	t.Helper()
	if object.GetNamespace() == controlplane.GatewayNamespace {
		return
	}
	require.Eventually(t, func() bool {
		live := &unstructured.Unstructured{}
		live.SetGroupVersionKind(object.GroupVersionKind())
		require.NoError(t, p.Client.Get(t.Context(), client.ObjectKeyFromObject(object), live))
		location, _, _ := unstructured.NestedString(object.Object, "spec", "location")
		return location == "MESH_INTERNAL" || ready(live, "True") || ready(live, "False")
	}, within, 100*time.Millisecond, object.GetName())
}

var istioKinds = map[string]string{
	"ServiceEntry": "networking.istio.io/v1", "VirtualService": "networking.istio.io/v1", "DestinationRule": "networking.istio.io/v1",
	"Gateway": "networking.istio.io/v1", "Sidecar": "networking.istio.io/v1", "WorkloadEntry": "networking.istio.io/v1", "EnvoyFilter": "networking.istio.io/v1alpha3",
}

func ofIstio(object *unstructured.Unstructured) bool {
	_, is := istioKinds[object.GetKind()]
	return is && object.GroupVersionKind().Group == "networking.istio.io"
}

// ofGateway says whether an object is the gateway's own Gateway object, which stays whatever is stored.
func ofGateway(object *unstructured.Unstructured) bool {
	return object.GetKind() == "Gateway" && object.GetNamespace() == controlplane.GatewayNamespace && strings.HasPrefix(object.GetName(), "egress-governor-")
}

// held returns what the cluster holds of Istio's kinds, but for the gateway's own Gateway object.
func (p *plane) held(t *testing.T) map[string]any {
	t.Helper()
	out := map[string]any{}
	for kind, version := range istioKinds {
		list := &unstructured.UnstructuredList{}
		group, err := schema.ParseGroupVersion(version)
		require.NoError(t, err)
		list.SetGroupVersionKind(group.WithKind(kind + "List"))
		require.NoError(t, p.Client.List(context.WithoutCancel(t.Context()), list))
		for i := range list.Items {
			if object := &list.Items[i]; !ofGateway(object) {
				out[proof.NameOf(object)] = essence(object)
			}
		}
	}
	return out
}

// essence is what an object says.
func essence(object *unstructured.Unstructured) map[string]any {
	return map[string]any{"labels": object.GetLabels(), "annotations": object.GetAnnotations(), "spec": object.Object["spec"]}
}
