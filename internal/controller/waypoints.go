package controller

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// waypointFor is the label that says what comes by a waypoint; services, without it.
const waypointFor = "istio.io/waypoint-for"

// waypoints says why calls of pods in ambient mode do not come by the waypoint of an egress gateway: they reach the gateway without
// it, and nobody checks who calls; and where they need not come to the gateway at all.
func (p *Preflight) waypoints(ctx context.Context, gw egress.Gateway, mesh *meshSettings) ([]egress.Finding, error) {
	if gw.Waypoint.Name == "" {
		return nil, nil
	}
	serving := p.serving(gw)
	var out []egress.Finding
	for _, waypoint := range slices.SortedFunc(maps.Keys(serving), func(a, b egress.Waypoint) int { return cmp.Compare(a.String(), b.String()) }) {
		object := empty(schema.GroupVersionKind{Group: "gateway.networking.k8s.io", Version: "v1", Kind: "Gateway"})
		err := p.Live.Get(ctx, types.NamespacedName{Namespace: waypoint.Namespace, Name: waypoint.Name}, object)
		if apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
			object = nil
		} else if err != nil {
			return out, fmt.Errorf("waypoint %s: %w", waypoint, err)
		}
		if found := waypointProblems(gw, waypoint, object, serving[waypoint]); len(found) > 0 {
			out = append(out, found...)
		} else if mesh != nil {
			out = append(out, unseen(gw, waypoint, mesh, serving[waypoint])...)
		}
	}
	visible, err := p.exitsVisible(ctx, gw, mesh)
	return append(out, visible...), err
}

// serving returns the waypoints of an egress gateway with the namespaces in ambient mode that they serve, by their labels.
func (p *Preflight) serving(gw egress.Gateway) map[egress.Waypoint]map[string]labels.Set {
	out := map[egress.Waypoint]map[string]labels.Set{}
	if gw.Waypoint.Namespace != "" {
		out[gw.Waypoint] = map[string]labels.Set{}
	}
	if p.View == nil {
		return out
	}
	governed := p.View.Governed()
	for i := range governed.Len() {
		namespace, set := governed.At(i)
		by, leaves := p.Mesh.GatewayFor(set)
		waypoint := by.WaypointOf(namespace)
		if !leaves || by.Name != gw.Name || waypoint.Name == "" {
			continue
		}
		if out[waypoint] == nil {
			out[waypoint] = map[string]labels.Set{}
		}
		out[waypoint][namespace] = set
	}
	return out
}

// goPast is what becomes of calls where Istio binds an entry to no waypoint.
const goPast = "entries bound to it are called past it, straight at egress gateway %q, and nobody checks who calls"

// unseen says which namespaces' entries Istio binds to no waypoint of another: those that their own namespace alone sees.
func unseen(gw egress.Gateway, waypoint egress.Waypoint, mesh *meshSettings, serves map[string]labels.Set) []egress.Finding {
	var out []string
	for _, namespace := range slices.Sorted(maps.Keys(serves)) {
		if namespace != waypoint.Namespace && mesh.ServiceEntryVisibility.of(serves[namespace]) != "PUBLIC" {
			out = append(out, namespace)
		}
	}
	if len(out) == 0 {
		return nil
	}
	return []egress.Finding{{
		Code: "waypoint-hidden",
		Message: fmt.Sprintf("waypoint %s serves no entries of namespaces %s, which meshConfig.serviceEntryVisibility hides from others: "+goPast,
			waypoint, someOf(out), gw.Name),
		Fix: "give each namespace a waypoint of its own, and leave out the namespace of the waypoint in the configuration; or make them PUBLIC",
	}}
}

// waypointProblems looks at the Gateway object of a waypoint, nil for none.
func waypointProblems(gw egress.Gateway, waypoint egress.Waypoint, object *unstructured.Unstructured, serves map[string]labels.Set) []egress.Finding {
	finding := func(code, message, fix string) []egress.Finding {
		return []egress.Finding{{Code: code, Message: fmt.Sprintf("waypoint %s %s: "+goPast, waypoint, message, gw.Name), Fix: fix}}
	}
	if object == nil {
		return finding("waypoint-missing", "does not exist", fmt.Sprintf("istioctl waypoint apply --namespace %s --name %s", waypoint.Namespace, waypoint.Name))
	}
	if what, given := object.GetLabels()[waypointFor]; given && what != "service" && what != "all" {
		return finding("waypoint-not-for-services", fmt.Sprintf("is for %q alone", what), fmt.Sprintf("label the Gateway %s=service", waypointFor))
	}
	if addresses, _, _ := unstructured.NestedSlice(object.Object, "status", "addresses"); len(addresses) == 0 {
		return finding("waypoint-not-ready", "has no address", "see why its pods do not run")
	}
	var shut []string
	for _, namespace := range slices.Sorted(maps.Keys(serves)) {
		if !allows(object, namespace, serves[namespace]) {
			shut = append(shut, namespace)
		}
	}
	if len(shut) > 0 {
		return finding("waypoint-closed", "does not take namespaces "+someOf(shut), "as one who may label namespaces, set allowedRoutes.namespaces of its HBONE listener to from: All, or to a selector that matches them")
	}
	return nil
}

// allows says whether a waypoint takes the entries of a namespace with these labels: by its HBONE listener, and without one, or where that
// does not say, those of its own.
func allows(object *unstructured.Unstructured, namespace string, of labels.Set) bool {
	listeners, _, _ := unstructured.NestedSlice(object.Object, "spec", "listeners")
	for _, item := range listeners {
		if listener, _ := item.(map[string]any); listener["protocol"] == "HBONE" {
			return takes(listener, namespace == object.GetNamespace(), of)
		}
	}
	return namespace == object.GetNamespace()
}

// takes says whether a listener takes routes of a namespace with these labels, which may be its own.
func takes(listener map[string]any, own bool, of labels.Set) bool {
	switch from, _, _ := unstructured.NestedString(listener, "allowedRoutes", "namespaces", "from"); from {
	case "All":
		return true
	case "Selector":
		raw, _, _ := unstructured.NestedMap(listener, "allowedRoutes", "namespaces", "selector")
		var by metav1.LabelSelector
		if runtime.DefaultUnstructuredConverter.FromUnstructured(raw, &by) != nil {
			return false
		}
		selector, err := metav1.LabelSelectorAsSelector(&by)
		return err == nil && selector.Matches(of)
	}
	return own
}

// exitsVisible says where ambient mode may take an exit itself for the entry of its host: it goes by no exportTo, and for namespaces
// without an entry of their own by the oldest of all.
func (p *Preflight) exitsVisible(ctx context.Context, gw egress.Gateway, mesh *meshSettings) ([]egress.Finding, error) {
	namespace := &corev1.Namespace{}
	if err := p.Live.Get(ctx, types.NamespacedName{Name: gw.Namespace()}, namespace); err != nil && !apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("namespace of egress gateway %q: %w", gw.Name, err)
	}
	if mesh == nil || mesh.ServiceEntryVisibility.of(namespace.Labels) != "PUBLIC" {
		return nil, nil
	}
	return []egress.Finding{{
		Code: "exits-visible",
		Message: fmt.Sprintf("pods in ambient mode see the exits of egress gateway %q in namespace %s, and those of a namespace without an entry of its own may call a host by its exit: directly",
			gw.Name, gw.Namespace()),
		Fix: fmt.Sprintf("give ServiceEntries of namespace %s visibility NAMESPACE in meshConfig.serviceEntryVisibility, which Istio has from 1.31 on", gw.Namespace()),
	}}, nil
}

// entryVisibility is who sees ServiceEntries, by the labels of their namespaces.
type entryVisibility struct {
	DefaultVisibility string `json:"defaultVisibility"`
	Policies          []struct {
		Visibility    string `json:"visibility"`
		MatchingRules []struct {
			NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector"`
		} `json:"matchingRules"`
	} `json:"policies"`
}

// of returns the visibility of those of a namespace: the first policy whose rules all match decides.
func (v entryVisibility) of(namespace labels.Set) string {
	out := v.DefaultVisibility
	for _, policy := range v.Policies {
		matches := true
		for _, rule := range policy.MatchingRules {
			selector, err := metav1.LabelSelectorAsSelector(rule.NamespaceSelector)
			matches = matches && err == nil && selector.Matches(namespace)
		}
		if matches {
			out = policy.Visibility
			break
		}
	}
	if out == "NAMESPACE" || out == "NONE" {
		return out
	}
	return "PUBLIC"
}
