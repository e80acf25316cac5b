package chart

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/apiserver"
)

// guarding is an API server with the chart's guards.
func guarding(t *testing.T, given values) *apiserver.Server {
	t.Helper()
	out := apiserver.New()
	for _, object := range rendered(t, given) {
		if apiserver.Guards(object) {
			require.NoError(t, out.Put(object))
		}
	}
	return out
}

func parsed(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	out := &unstructured.Unstructured{}
	require.NoError(t, yaml.Unmarshal([]byte(text), &out.Object))
	return out
}

// pod asks about a pod of an injected namespace.
func pod(t *testing.T, server *apiserver.Server, spec string) error {
	t.Helper()
	_, err := server.Guard(t.Context(), apiserver.Request{
		Object:    parsed(t, "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: app}\nspec: {containers: [{name: app, image: app}], "+spec+"}"),
		Namespace: parsed(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: app, labels: {kubernetes.io/metadata.name: app, istio-injection: enabled}}"),
	})
	return err
}

// holds asserts that somebody is refused with a text, and nobody where that is empty.
func holds(t *testing.T, err error, text, of string) {
	t.Helper()
	if text == "" {
		require.NoError(t, err, of)
		return
	}
	require.ErrorContains(t, err, text, of)
}

// TestNoPodSaysWhereItsProxyLooks for the gateway, for istiod, or for Services, by whatever name these are looked up.
func TestNoPodSaysWhereItsProxyLooks(t *testing.T) {
	t.Parallel()
	server := guarding(t, values{"config": values{"gateways": []any{
		values{"name": "a", "service": "out.ways.svc.cluster.local", "selector": values{"app": "out"}, "ports": values{"http": 80}},
	}}})
	for name, refused := range map[string]bool{
		"out.ways.svc.cluster.local": true, "out.ways.svc": true, "out.ways": true,
		"istiod.istio-system.svc.cluster.local": true, "istiod.istio-system.svc": true, "istiod-1-30.istio-system": true,
		"collector.tenant.svc": true, "zipkin.istio-system": true,
		"api.example.com": false, "out.ways.example.com": false, "svc.example.com": false, "db": false, "a.app": false, "a.b.ways": false,
	} {
		says := ""
		if refused {
			says = "spec.hostAliases: has the sidecar look"
		}
		holds(t, pod(t, server, "hostAliases: [{ip: 203.0.113.9, hostnames: [localdb, "+name+"]}]"), says, name)
	}
}

// TestServersOfVolumesByDrivers are as those of others; what else a driver is told is its own to know.
func TestServersOfVolumesByDrivers(t *testing.T) {
	t.Parallel()
	server := guarding(t, nil)
	for csi, says := range map[string]string{
		"driver: nfs.csi.k8s.io, volumeAttributes: {server: evil.example.net, share: /}":               "spec.volumes: the node mounts",
		"driver: nfs.csi.k8s.io, volumeAttributes: {server: 203.0.113.7, share: /}":                    "spec.volumes: the node mounts",
		"driver: nfs.csi.k8s.io, volumeAttributes: {server: 10.1.2.3, share: /}":                       "",
		"driver: secrets-store.csi.k8s.io, readOnly: true, volumeAttributes: {secretProviderClass: a}": "",
		"driver: csi.cert-manager.io, readOnly: true, volumeAttributes: {csi.cert-manager.io/fs: a}":   "",
		"driver: csi.spiffe.io, readOnly: true":                                                        "",
	} {
		holds(t, pod(t, server, "volumes: [{name: a, csi: {"+csi+"}}]"), says, csi)
	}
}

// TestALabelThatOutlastsTheObservingIsHeld while a namespace is observed, whichever way it is; how pods are captured is not.
func TestALabelThatOutlastsTheObservingIsHeld(t *testing.T) {
	t.Parallel()
	for name, of := range map[string]struct {
		given values
		mode  string
	}{
		"of the release": {values{"mode": "Observe"}, ""}, "of the namespace": {nil, ", egress-governor.io/mode: Observe"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := guarding(t, of.given)
			namespace := func(labels string) *unstructured.Unstructured {
				return parsed(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: app, labels: {kubernetes.io/metadata.name: app"+of.mode+labels+"}}")
			}
			labelled := func(before, now string, groups ...string) error {
				_, err := server.Guard(t.Context(), apiserver.Request{Object: namespace(now), Old: namespace(before), User: "author", Groups: groups})
				return err
			}
			const exempt, says = `, egress-governor.io/exempt-pods: "true"`, "metadata.labels[egress-governor.io/exempt-pods]: "
			require.ErrorContains(t, labelled("", exempt), says)
			require.NoError(t, labelled(exempt, exempt+", team: a"))
			require.NoError(t, labelled("", exempt, "system:masters"))
			for _, capture := range []string{", istio-injection: disabled", ", istio.io/rev: b", ", istio.io/dataplane-mode: ambient"} {
				require.NoError(t, labelled(", istio.io/rev: a", capture))
			}
		})
	}
}

// TestListsThatAreNull are empty: an expression with null among its types is no expression.
func TestListsThatAreNull(t *testing.T) {
	t.Parallel()
	objects := rendered(t, values{
		"config": values{"meshCIDRs": nil},
		"guards": values{
			"exemptUsers": nil, "exemptGroups": nil, "pods": values{"proxyImages": nil}, "injection": values{"allowedServiceAccounts": nil, "allowedVariables": nil, "controlPlane": nil, "telemetryAddresses": nil},
			"nameResolution": values{"allowedNameservers": nil, "allowedSearches": nil}, "endpoints": values{"clusterCIDRs": nil},
			"namespaceLabels": values{"allowedUsers": nil, "allowedGroups": nil}, "exitSets": values{"allowedUsers": nil, "allowedGroups": nil},
			"traffic": values{"allowedProxyConfig": nil}, "networks": values{"allowedNamespaces": nil}, "rootCerts": values{"allowedUsers": nil, "allowedGroups": nil},
		},
	})
	policies, _ := guards(t, objects)
	for name, policy := range policies {
		for _, condition := range policy.Spec.MatchConditions {
			assert.NotRegexp(t, `\bin null\b|\bnull[.]`, condition.Expression, name)
		}
		for _, variable := range policy.Spec.Variables {
			assert.NotRegexp(t, `\bin null\b|\bnull[.]`, variable.Expression, name)
		}
	}
}

// TestControllersAreKnownByTheirUsers, wherever they are let through: one for all in clusters where they have none of their own.
func TestControllersAreKnownByTheirUsers(t *testing.T) {
	t.Parallel()
	objects := rendered(t, nil)
	const shared = `"system:kube-controller-manager"`
	policies, _ := guards(t, objects)
	for _, guard := range []string{"exit-sets", "endpoints", "traffic"} {
		all := ""
		for _, condition := range policies[guard].Spec.MatchConditions {
			all += condition.Expression
		}
		assert.Contains(t, all, shared, guard)
	}
	validate := only[admissionv1.ValidatingWebhookConfiguration](t, objects, "ValidatingWebhookConfiguration").Webhooks[0]
	last := validate.MatchConditions[len(validate.MatchConditions)-1]
	assert.Equal(t, "not-with-its-namespace", last.Name)
	assert.Contains(t, last.Expression, shared)
	assert.NotContains(t, last.Expression, "garbage-collector", "an author has it delete what is of an object of his")
}
