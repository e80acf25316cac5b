//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/dryrun"
	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/review"
	"github.com/egress-governor/egress-governor/test/proof"
)

// stage is a case on the mesh: its namespaces and gateways are those that are there, its Services and ingress gateways get pods.
type stage struct {
	*cluster
	of   *proof.Case
	by   string
	mesh *egress.Mesh
	// objects and calls are those of the case, moved to the mesh's namespaces.
	objects []*unstructured.Unstructured
	calls   []proof.Call
	// refused has the reasons of objects that must not be stored, empty for others, and removed are those that go again.
	refused []string
	removed map[string]bool
	// served are the pods of Services, by <name>.<namespace>, and ingresses those of ingress gateways, by namespace.
	served, ingresses map[string]*corev1.Pod
}

// staged moves a case to the mesh and starts its pods.
func (c *cluster) staged(t *testing.T, of *proof.Case, by string) *stage {
	t.Helper()
	require.Empty(t, of.Mesh, "the mesh configuration is everybody's")
	require.Empty(t, of.Before, "the webhook is there already")
	require.Subset(t, map[string]any{"wildcards": "Resolve"}, of.Gateway, "the gateways are as they are")
	stored, err := of.Store(t.Context(), by)
	require.NoError(t, err)
	_, written, err := of.Objects()
	require.NoError(t, err)
	moved := moves(t, of, stored.Mesh, written).Replace
	out := &stage{
		cluster: c, of: of, by: by, mesh: stored.Mesh, removed: map[string]bool{},
		served: map[string]*corev1.Pod{}, ingresses: map[string]*corev1.Pod{},
	}
	codes := map[string]string{}
	for _, each := range of.Refused {
		if proof.Concerns(each.Transports, by) {
			codes[each.Object] = each.Code
		}
	}
	for _, name := range of.Deleted {
		out.removed[moved(name)] = true
	}
	for i, object := range written {
		if object.GetKind() == "Namespace" {
			continue
		}
		out.refused = append(out.refused, reason(stored.Answers[i], codes[proof.NameOf(object)]))
		raw, err := object.MarshalJSON()
		require.NoError(t, err)
		out.objects = append(out.objects, c.decoded(t, "", moved(string(raw)))...)
	}
	for _, call := range of.Calls {
		if proof.Concerns(call.Transports, by) {
			raw, err := json.Marshal(call)
			require.NoError(t, err)
			var to proof.Call
			require.NoError(t, json.Unmarshal([]byte(moved(string(raw))), &to))
			out.calls = append(out.calls, to)
		}
	}
	// Calls that get nowhere prove something once others have arrived.
	slices.SortStableFunc(out.calls, func(a, b proof.Call) int { return last(a) - last(b) })
	out.people(t)
	return out
}

// reason is the code by which an object must be refused, the case's where that is one of them; empty for one that is stored.
func reason(answer dryrun.Answer, code string) string {
	if answer.Allowed() {
		return ""
	}
	is := func(finding review.Finding) bool { return finding.Code == code }
	if slices.ContainsFunc(answer.Findings, is) || len(answer.Findings) == 0 {
		return code
	}
	return answer.Findings[0].Code
}

func last(call proof.Call) int {
	if call.Ends == proof.Blocked {
		return 1
	}
	return 0
}

// lots are the namespaces of the mesh by the transport of their gateway; in the first of them are apps.
var lots = map[egress.Transport][]string{egress.Plain: {appA, appB, appC, appD}, egress.MutualTLS: {vaultA, vaultB, vaultC, vaultD}}

// way is the egress gateway of a namespace.
func (s *stage) way(namespace string) way {
	if s.by == "" {
		return wayOf(namespace)
	}
	return wayBy(egress.Transport(s.by))
}

// moves writes the names of the mesh in the place of those of a case: app-a and app-b stay where they are named, and callers come
// before namespaces that have objects alone.
func moves(t *testing.T, of *proof.Case, mesh *egress.Mesh, objects []*unstructured.Unstructured) *strings.Replacer {
	t.Helper()
	labels := map[string]map[string]string{}
	var named []string
	for _, call := range of.Calls {
		namespace, _ := call.Caller()
		named = append(named, namespace)
	}
	for _, object := range objects {
		named = append(named, object.GetNamespace())
		if object.GetKind() == "Namespace" {
			require.Contains(t, of.Configuration, "gateways", "labels of namespaces choose a gateway here, and nothing else")
			labels[object.GetName()] = object.GetLabels()
		}
	}
	raw, err := json.Marshal(objects)
	require.NoError(t, err)
	if strings.Contains(string(raw), appB) {
		named = slices.Insert(named, 0, appA, appB)
	}
	slices.SortStableFunc(named, func(a, b string) int { return rank(a) - rank(b) })
	var pairs []string
	taken := map[egress.Transport]int{}
	seen := map[string]bool{"": true, plain.namespace: true}
	for _, name := range named {
		if seen[name] {
			continue
		}
		seen[name] = true
		gw, leaves := mesh.GatewayFor(labels[name])
		require.True(t, leaves, "%s leaves by no gateway", name)
		lot := lots[gw.Transport]
		require.Less(t, taken[gw.Transport], len(lot), "%s: the mesh has no further namespace that leaves by %s", name, gw.Transport)
		to := lot[taken[gw.Transport]]
		taken[gw.Transport]++
		for _, form := range []string{`"namespace":"%s"`, `"from":"%s"`, `"from":"%s/`, `.%s.svc`, `"%s/`, `/%s/`, `["%s"]`, `,"%s"]`, `["%s",`, `,"%s",`} {
			pairs = append(pairs, fmt.Sprintf(form, name), fmt.Sprintf(form, to))
		}
	}
	return strings.NewReplacer(append(pairs, gatewayMoves(mesh)...)...)
}

func rank(namespace string) int {
	switch namespace {
	case appA:
		return 0
	case appB:
		return 1
	}
	return 2
}

// gatewayMoves writes the gateways of the mesh in the place of a case's.
func gatewayMoves(mesh *egress.Mesh) (pairs []string) {
	for _, gw := range mesh.Gateways {
		to := wayBy(gw.Transport)
		pairs = append(pairs, gw.Service, to.service(), `"`+gw.Namespace()+`/`, `"`+to.namespace+`/`)
		for _, name := range slices.Sorted(maps.Keys(gw.Selector)) {
			pairs = append(pairs, fmt.Sprintf("%q:%q", name, gw.Selector[name]), fmt.Sprintf("%q:%q", name, to.labels[name]))
		}
	}
	return pairs
}

// people starts the pods of the case's ingress gateways and Services.
func (s *stage) people(t *testing.T) {
	t.Helper()
	for _, call := range s.calls {
		if namespace, _ := call.Caller(); call.Ingress != nil && s.ingresses[namespace] == nil {
			s.ingresses[namespace] = s.starts(t, ingressPod(namespace, call.Ingress))
			s.apps[namespace+"/"+ingress] = s.ingresses[namespace].Status.PodIP
			t.Cleanup(func() { delete(s.apps, namespace+"/"+ingress) })
		}
	}
	for _, object := range s.objects {
		if object.GetKind() != "Service" {
			continue
		}
		// Its address is of another cluster.
		unstructured.RemoveNestedField(object.Object, "spec", "clusterIP")
		selector, _, err := unstructured.NestedStringMap(object.Object, "spec", "selector")
		require.NoError(t, err)
		if gateway := s.ingresses[object.GetNamespace()]; len(selector) == 0 || gateway != nil && selects(selector, gateway.Labels) {
			continue
		}
		pod := podOf(object.GetNamespace(), "service-"+object.GetName(), probeImage(), "outside")
		pod.Labels = selector
		// It sees who calls, where a sidecar would call it itself.
		pod.Labels["sidecar.istio.io/inject"] = "false"
		s.served[object.GetName()+"."+object.GetNamespace()] = s.starts(t, pod)
	}
}

func selects(selector, labels map[string]string) bool {
	for name, value := range selector {
		if labels[name] != value {
			return false
		}
	}
	return true
}

// starts runs a pod as long as the test does, with a sidecar or without.
func (c *cluster) starts(t *testing.T, pod *corev1.Pod) *corev1.Pod {
	t.Helper()
	require.NoError(t, c.glass.Create(t.Context(), pod))
	t.Cleanup(func() { c.gone(t, pod) })
	address, err := c.started(t.Context(), pod)
	require.NoError(t, err)
	pod.Status.PodIP = address
	return pod
}
