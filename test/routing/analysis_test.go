package routing

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"istio.io/istio/pkg/config/analysis/analyzers"
	"istio.io/istio/pkg/config/analysis/local"
	"istio.io/istio/pkg/config/resource"
	"istio.io/istio/pkg/test"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/test/proof"
)

// TestIstiosAnalyzersFindNothingNew: `istioctl analyze` complains of a governed cluster of nothing that it did not complain
// of in the authors' own manifests, and that they were not told of.
func TestIstiosAnalyzersFindNothingNew(t *testing.T) {
	all, err := proof.Load("cases")
	require.NoError(t, err)
	for _, each := range all {
		for _, by := range each.By() {
			t.Run(each.Family+"/"+each.Name+"/"+by, func(t *testing.T) {
				stored, err := each.Store(t.Context(), by)
				require.NoError(t, err)
				before, after := complaints(t, stored.Mesh, stored.Written), complaints(t, stored.Mesh, stored.Objects)
				if stored.Mesh.ByRoutes() {
					// Routes of ours beside those of authors are that form.
					maps.DeleteFunc(after, func(complaint, _ string) bool { return strings.HasPrefix(complaint, "IST0109 ") })
				}
				maps.DeleteFunc(after, func(_, said string) bool { return toldOf(each, said) })
				for _, complaint := range slices.Sorted(maps.Keys(after)) {
					assert.True(t, known(before, complaint), "%s: %s", complaint, after[complaint])
				}
			})
		}
	}
}

// toldOf says whether the author of the object that something is said of was told by the answer already.
func toldOf(of *proof.Case, said string) bool {
	return slices.ContainsFunc(of.Warned, func(warned proof.Warning) bool {
		kind, name, _ := strings.Cut(warned.Object, "/")
		return strings.HasPrefix(said, kind+" "+name+": ")
	})
}

// TestIstiosAnalyzersAreHeard: they complain of a route to a subset that nobody defines.
func TestIstiosAnalyzersAreHeard(t *testing.T) {
	of := loaded(t, map[string]string{
		"case.yaml": "{title: t, transports: [Plain], before: [route.yaml], calls: [{from: app-a, to: \"http://api.example.com\", ends: Gateway}]}", "a.yaml": bareEntry,
		"route.yaml": `{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: api, namespace: app-a}, spec: {hosts: [api.example.com], http: [{route: [{destination: {host: api.example.com, subset: none}}]}]}}`,
	})
	stored, err := of.Store(t.Context(), "Plain")
	require.NoError(t, err)
	assert.Contains(t, complaints(t, stored.Mesh, stored.Written), "IST0101 api.example.com")
}

// complaints returns what the analyzers say of objects beside the gateways' pods, by code and host: what they say of an
// author's object and of the one that took its place is one complaint.
func complaints(t *testing.T, mesh *egress.Mesh, objects []*unstructured.Unstructured) map[string]string {
	t.Helper()
	var documents []string
	named := map[string]*unstructured.Unstructured{}
	for _, object := range slices.Concat(objects, pods(mesh), ambientPods(objects)) {
		raw, err := yaml.Marshal(object.Object)
		require.NoError(t, err)
		documents = append(documents, string(raw))
		named[object.GetKind()+" "+object.GetNamespace()+"/"+object.GetName()] = object
	}
	analyzer := local.NewSourceAnalyzer(analyzers.AllCombined(), "", resource.Namespace("istio-system"), nil)
	require.NoError(t, analyzer.AddTestReaderKubeSource([]local.ReaderSource{{Name: "objects", Reader: strings.NewReader(strings.Join(documents, "\n---\n"))}}))
	result, err := analyzer.Analyze(test.NewStop(t))
	require.NoError(t, err)
	out := map[string]string{}
	for _, message := range result.Messages {
		origin, text := message.Resource.Origin.FriendlyName(), fmt.Sprintf(message.Type.Template(), message.Parameters...)
		about := named[origin]
		if about == nil || mistaken(message.Type.Code(), text, about, objects) {
			continue
		}
		out[cmp.Or(alike[message.Type.Code()], message.Type.Code())+" "+hostOf(about)] = origin + ": " + text
	}
	return out
}

// alike are codes that say of one port what another says of all of a host.
var alike = map[string]string{"IST0129": "IST0128"}

// mistaken says whether the analyzers take something of ours for what it is not.
func mistaken(code, text string, about *unstructured.Unstructured, objects []*unstructured.Unstructured) bool {
	switch {
	case code == "IST0140" && slices.ContainsFunc(objects, func(exit *unstructured.Unstructured) bool {
		return exit.GetLabels()[hop.ManagedByLabel] == hop.Manager && strings.Contains(text, " "+exit.GetNamespace()+"/"+exit.GetName()+" ")
	}):
		// The subset of an exit is for calls that come to the egress gateway, and for no other gateway's.
		return true
	case about != nil && missed(text, about.GetNamespace(), objects):
		return true
	case about == nil || about.GetLabels()[hop.ManagedByLabel] != hop.Manager:
		return false
	case code == "IST0133":
		// Whoever has a gateway resolve wildcards has EnvoyFilters, of each of which it is said that it is one.
		return about.GetKind() == "EnvoyFilter"
	case code == "IST0134":
		// Addresses are asked for so that a proxy tells raw TCP apart by them. A gateway tells it by the name in TLS.
		return about.GetKind() == "ServiceEntry"
	case code == "IST0140":
		// Routes of sidecars that name a subset are taken for those of the calls that come to the gateway.
		return about.GetKind() == "VirtualService"
	}
	return false
}

// missed says whether a port of a host is missed that an entry of the same namespace has: the analyzer looks a host up in
// any one of the entries that are exported to everybody, before those of the route's own namespace.
func missed(text, namespace string, objects []*unstructured.Unstructured) bool {
	missed, is := strings.CutPrefix(text, "Referenced host:port not found: ")
	host, port, _ := strings.Cut(strings.Trim(missed, `"`), ":")
	return is && slices.ContainsFunc(objects, func(object *unstructured.Unstructured) bool {
		entry, err := egress.ParseServiceEntry(object)
		return object.GetKind() == "ServiceEntry" && object.GetNamespace() == namespace && err == nil && slices.Contains(entry.Hosts, host) &&
			slices.ContainsFunc(entry.Ports, func(of egress.Port) bool { return fmt.Sprint(of.Number) == port })
	})
}

// known says whether something was complained of before, of the host or of a wildcard over it.
func known(before map[string]string, complaint string) bool {
	code, host, _ := strings.Cut(complaint, " ")
	return slices.ContainsFunc(egress.Patterns(host), func(pattern string) bool {
		_, is := before[code+" "+pattern]
		return is
	})
}

// hostOf is the host that an object is about, its name where it is about none.
func hostOf(object *unstructured.Unstructured) string {
	if host := object.GetAnnotations()[hop.HostAnnotation]; host != "" {
		return host
	}
	host, _, _ := unstructured.NestedString(object.Object, "spec", "host")
	hosts, _, _ := unstructured.NestedStringSlice(object.Object, "spec", "hosts")
	return egress.Canonical(cmp.Or(host, strings.Join(hosts, ","), object.GetName()))
}

// ambientPods are callers in ambient mode, one in each namespace: without one, a policy in it is said to be about nobody.
func ambientPods(objects []*unstructured.Unstructured) (out []*unstructured.Unstructured) {
	for _, object := range objects {
		if object.GetKind() == "Namespace" && egress.Ambient(object.GetLabels()) {
			out = append(out, &unstructured.Unstructured{Object: map[string]any{
				"apiVersion": "v1", "kind": "Pod",
				"metadata": map[string]any{"name": "caller", "namespace": object.GetName(), "annotations": map[string]any{"ambient.istio.io/redirection": "enabled"}},
				"spec":     map[string]any{"containers": []any{map[string]any{"name": "app", "image": "app"}}},
			}})
		}
	}
	return out
}

// pods are those of the egress gateways.
func pods(mesh *egress.Mesh) (out []*unstructured.Unstructured) {
	for _, gw := range mesh.Gateways {
		labels := map[string]any{}
		for key, value := range gw.Selector {
			labels[key] = value
		}
		out = append(out, &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "Pod",
			"metadata": map[string]any{"name": gw.ServiceName(), "namespace": gw.Namespace(), "labels": labels, "annotations": map[string]any{"sidecar.istio.io/status": "{}"}},
			"spec": map[string]any{"containers": []any{map[string]any{"name": "istio-proxy", "image": "proxyv2", "ports": []any{
				map[string]any{"containerPort": int64(gw.HTTPPort)}, map[string]any{"containerPort": int64(gw.TLSPort)},
			}}}},
		}})
	}
	return out
}
