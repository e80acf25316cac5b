package registry_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/registry"
)

// TestRoutesAreLookedAtAgain when the entries of a host change that they lead to, or whose calls they are for: by name, by a
// wildcard, or under one.
func TestRoutesAreLookedAtAgain(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "")
	for name, spec := range map[string]string{
		"leads":    `{hosts: [front], http: [{route: [{destination: {host: api.example.com}}]}]}`,
		"exact":    `{hosts: [api.example.com], http: [{route: [{destination: {host: local}}]}]}`,
		"wildcard": `{hosts: ["*.example.com"], http: [{route: [{destination: {host: local}}]}]}`,
		"ingress":  `{hosts: [api.example.com], gateways: [own], http: [{route: [{destination: {host: local}}]}]}`,
		"both":     `{hosts: [api.example.com], gateways: [own, mesh], http: [{route: [{destination: {host: local}}]}]}`,
		"service":  `{hosts: [local], http: [{route: [{destination: {host: local}}]}]}`,
	} {
		r.PutRoutes(object(t, "VirtualService", "a", name, spec, 0))
	}
	for host, want := range map[string][]string{
		"api.example.com":           {"leads", "exact", "wildcard", "both"},
		"other.example.com":         {"wildcard"},
		"*.example.com":             {"leads", "exact", "wildcard", "both"},
		"example.com":               nil,
		"local.a.svc.cluster.local": nil,
	} {
		var names []types.NamespacedName
		for _, name := range want {
			names = append(names, types.NamespacedName{Namespace: "a", Name: name})
		}
		assert.ElementsMatch(t, names, r.LeadingTo(host), host)
	}
}

// TestWhatRoutesLeadToIsKnown while they are stored, but for those of exits.
func TestWhatRoutesLeadToIsKnown(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "")
	of := egress.Mapping{Host: "api.example.com", Port: 443, Needs: egress.NeedsTLS}
	r.PutRoutes(object(t, "VirtualService", "a", "out", `{hosts: [api.example.com], gateways: [out], http: [{route: [{destination: {host: api.example.com, port: {number: 443}}}]}]}`, 0))
	require.Len(t, r.Mapped(of), 1)
	assert.Equal(t, "VirtualService a/out", r.Mapped(of)[0].String())
	r.DeleteRoutes("a", "out")
	assert.Empty(t, r.Mapped(of))
}

// TestAPairIsThereBeforeARouteAsksForIt, so that no call is lost while it is rewritten; and the route is looked at again.
func TestAPairIsThereBeforeARouteAsksForIt(t *testing.T) {
	t.Parallel()
	r := registry.New(&egress.Mesh{ClusterDomain: "cluster.local", Governed: labels.Everything(), Seal: true, Inject: true})
	r.PutNamespace("a", nil)
	name := egress.Pair{Asked: "api.example.com", Led: "api.example.com"}.Host()
	r.PutRoutes(object(t, "VirtualService", "a", "leaves-it-out", `{hosts: [front], http: [{rewrite: {authority: api.example.com}, route: [{destination: {host: api.example.com, port: {number: 8080}}}]}]}`, 0))
	assert.Equal(t, []string{name}, r.PairsTo("api.example.com"))
	assert.Len(t, r.LeadingTo("api.example.com"), 1)
	r.DeleteRoutes("a", "leaves-it-out")
	assert.Empty(t, r.PairsTo("api.example.com"))
}

// TestPodsOfFiles are known where gateways' pods are looked for.
func TestPodsOfFiles(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "")
	for _, namespace := range []string{"istio-system", "a"} {
		pod := object(t, "Pod", namespace, "p", "{}", 0)
		pod.SetAPIVersion("v1")
		pod.SetLabels(map[string]string{"app": "p"})
		require.NoError(t, r.Put(pod))
		if namespace == "a" {
			assert.Empty(t, r.Pods(namespace))
			continue
		}
		assert.Equal(t, []map[string]string{{"app": "p"}}, r.Pods(namespace))
		r.Remove(pod)
		assert.Empty(t, r.Pods(namespace))
	}
}
