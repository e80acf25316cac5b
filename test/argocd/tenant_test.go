package argocd

import (
	"strings"
	"testing"
	"time"

	"github.com/argoproj/gitops-engine/pkg/health"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// What a tenant has in Git. HOST stands for a host of his own.
const (
	entry = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api, labels: {app.kubernetes.io/instance: shop}}
spec: {hosts: [HOST, rule.HOST], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]}`
	routes = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: api, labels: {app.kubernetes.io/instance: shop}}
spec: {hosts: [HOST], http: [{timeout: 3s, route: [{destination: {host: HOST, port: {number: 80}}}]}]}`
	rule = `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: api, labels: {app.kubernetes.io/instance: shop}}
spec: {host: rule.HOST, trafficPolicy: {outlierDetection: {consecutive5xxErrors: 3}, connectionPool: {tcp: {maxConnections: 10}}}}`
	config = `
apiVersion: v1
kind: ConfigMap
metadata: {name: own}
data: {a: b}`
)

// tenant returns the recipe's Application for a namespace of its own, which has labels.
func tenant(t *testing.T, labels map[string]string, manifests ...string) *application {
	t.Helper()
	namespace, err := shared.clientset.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "shop-", Labels: labels}}, metav1.CreateOptions{})
	require.NoError(t, err)
	out := recipe(t, namespace.Name, namespace.Name, nil)
	out.says(t, manifests...)
	return out
}

// says has other manifests in Git from now on.
func (a *application) says(t *testing.T, manifests ...string) {
	t.Helper()
	objects, err := split([]byte(strings.ReplaceAll(strings.Join(manifests, "\n---\n"), "HOST", host(a))))
	require.NoError(t, err)
	for _, object := range objects {
		object.SetNamespace(a.Name)
	}
	a.objects = objects
}

func host(of *application) string { return of.Name + ".example.com" }

// state returns the health of the entry that is stored, and why.
func state(t *testing.T, app *application) (health.HealthStatusCode, string) {
	t.Helper()
	for _, object := range app.objects {
		if object.GetKind() == "ServiceEntry" {
			out, err := shared.healthOf(stored(t, object))
			require.NoError(t, err)
			return out.Status, out.Message
		}
	}
	return "", ""
}

func healthy(t *testing.T, app *application) {
	t.Helper()
	require.Eventually(t, func() bool { is, _ := state(t, app); return is == health.HealthStatusHealthy }, within, 50*time.Millisecond)
}

// whatTenantsWrite is sealed, is in sync, is healthy, is healed into nothing else, and goes without a trace.
func whatTenantsWrite(t *testing.T) {
	t.Parallel()
	app := tenant(t, nil, entry, routes, rule, config)
	require.NoError(t, app.sync(t.Context()))
	healthy(t, app)
	synced(t, app)
	// By now the controller has rewritten what was stored before its entry.
	require.NoError(t, app.sync(t.Context()))
	synced(t, app)
	before := map[string]string{}
	for _, object := range app.objects {
		live := stored(t, object)
		before[object.GetKind()] = live.GetResourceVersion()
		if object.GetKind() != "ConfigMap" {
			assert.NotEqual(t, object.Object["spec"], live.Object["spec"], "%s is stored as it was written", object.GetKind())
		}
	}
	for range 3 {
		require.NoError(t, app.sync(t.Context()))
		synced(t, app)
	}
	for _, object := range app.objects {
		assert.Equal(t, before[object.GetKind()], stored(t, object).GetResourceVersion(), "%s was written", object.GetKind())
	}
	made := exits(t, app)
	require.NotEmpty(t, made)
	for _, exit := range made {
		assert.Empty(t, shared.appOf(exit), "Argo CD knows %s for its own, and would prune it", named(exit))
		assert.NotContains(t, exit.GetLabels(), "app.kubernetes.io/instance")
		assert.Empty(t, exit.GetOwnerReferences())
	}

	app.says(t, config)
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		out, err := app.compare()
		require.NoError(c, err)
		assert.Equal(c, map[string]string{"ServiceEntry/api": "to be pruned", "VirtualService/api": "to be pruned", "DestinationRule/api": "to be pruned"}, out)
	}, within, 100*time.Millisecond)
	began, pruned := time.Now(), []*unstructured.Unstructured{}
	for _, kind := range []string{"ServiceEntry", "VirtualService", "DestinationRule"} {
		object := app.objects[0].DeepCopy()
		object.SetAPIVersion("networking.istio.io/v1")
		object.SetKind(kind)
		object.SetName("api")
		pruned = append(pruned, object)
	}
	require.NoError(t, app.begin(t.Context()))
	collected(t, pruned)
	require.Eventually(t, func() bool { return len(exits(t, app)) == 0 }, within, 50*time.Millisecond, "the exit goes")
	synced(t, app)
	t.Logf("all was pruned after %s", time.Since(began))
}

// otherSettings than the recipe's, and what comes of each.
func otherSettings(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		compare string
		sync    []string
		// outOfSync are the kinds that are out of sync for ever.
		outOfSync []string
	}{
		"none":                    {outOfSync: []string{"VirtualService/api", "DestinationRule/api"}},
		"server-side apply alone": {sync: []string{"ServerSideApply=true"}, outOfSync: []string{"VirtualService/api", "DestinationRule/api"}},
		"server-side diff alone":  {compare: "ServerSideDiff=true", outOfSync: []string{}},
		"both, without the mutations of webhooks":   {compare: "ServerSideDiff=true", sync: []string{"ServerSideApply=true"}, outOfSync: []string{}},
		"server-side diff with mutations, no apply": {compare: "ServerSideDiff=true,IncludeMutationWebhook=true", outOfSync: []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			app := tenant(t, nil, entry, routes, rule, config)
			app.Annotations = map[string]string{"argocd.argoproj.io/compare-options": tc.compare}
			app.Spec.SyncPolicy.SyncOptions = tc.sync
			require.NoError(t, app.sync(t.Context()))
			healthy(t, app)
			for range 2 {
				require.EventuallyWithT(t, func(c *assert.CollectT) {
					out, err := app.compare()
					require.NoError(c, err)
					var names []string
					for name := range out {
						names = append(names, name)
					}
					assert.ElementsMatch(c, tc.outOfSync, names, "%v", out)
				}, within, 200*time.Millisecond)
				require.NoError(t, app.sync(t.Context()))
			}
		})
	}
}

// whatAHandChanges is found, and healed into what is in Git.
func whatAHandChanges(t *testing.T) {
	t.Parallel()
	app := tenant(t, nil, entry, routes, rule)
	require.NoError(t, app.sync(t.Context()))
	healthy(t, app)
	synced(t, app)
	for _, tc := range []struct {
		name  string
		of    int
		patch string
		// found says whether Argo CD finds it; what is sealed again at once is nothing to find. blind says that it would not without
		// the mutations of webhooks.
		found, blind bool
	}{
		{"a field of Git's", 0, `{"spec": {"ports": [{"number": 443, "name": "tls", "protocol": "TLS"}]}}`, true, false},
		{"what was sealed, out", 0, `{"spec": {"endpoints": null}}`, false, false},
		{"a timeout", 1, `{"spec": {"http": [{"timeout": "60s", "route": [{"destination": {"host": "HOST", "port": {"number": 80}}}]}]}}`, true, false},
		{"what the exit has of it", 2, `{"spec": {"trafficPolicy": {"outlierDetection": {"consecutive5xxErrors": 9}}}}`, true, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			object := app.objects[tc.of]
			before := stored(t, object)
			patch(t, object, types.MergePatchType, strings.ReplaceAll(tc.patch, "HOST", host(app)))
			if tc.found {
				require.Eventually(t, func() bool { out, err := app.compare(); return err == nil && len(out) == 1 }, within, 100*time.Millisecond)
				without := *app
				without.Application = app.DeepCopy()
				without.Annotations = map[string]string{"argocd.argoproj.io/compare-options": "ServerSideDiff=true"}
				out, err := without.compare()
				require.NoError(t, err)
				assert.Equal(t, tc.blind, len(out) == 0, "%v", out)
			}
			require.NoError(t, app.sync(t.Context()))
			synced(t, app)
			assert.Equal(t, before.Object["spec"], stored(t, object).Object["spec"])
		})
	}
}

// whatIsRefused fails the sync by the words that the author needs, and the comparison too.
func whatIsRefused(t *testing.T) {
	t.Parallel()
	app := tenant(t, nil, strings.Replace(entry, "resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]", "resolution: DNS, ports: [{number: 5432, name: db, protocol: TCP}]", 1))
	err := app.sync(t.Context())
	require.ErrorContains(t, err, "spec.ports[0]")
	require.ErrorContains(t, err, "Fix: ")
	_, err = clientOf(t, app.objects[0]).Get(t.Context(), "api", metav1.GetOptions{})
	require.True(t, apierrors.IsNotFound(err))

	stands := tenant(t, nil, entry)
	require.NoError(t, stands.sync(t.Context()))
	healthy(t, stands)
	synced(t, stands)
	stands.objects = app.objects
	stands.objects[0].SetNamespace(stands.Name)
	_, err = stands.compare()
	require.ErrorContains(t, err, "spec.ports[0]", "what would be refused")
}

// routesOfTheGatewayAPI are refused as long as no entry names their hosts: entries are of a wave before.
func routesOfTheGatewayAPI(t *testing.T) {
	t.Parallel()
	const route = `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: a-route}
spec: {parentRefs: [{group: networking.istio.io, kind: ServiceEntry, name: api}], rules: [{backendRefs: [{group: networking.istio.io, kind: Hostname, name: HOST, port: 80}]}]}`
	gatewayAPI(t)
	one := strings.Replace(entry, ", rule.HOST", "", 1)
	together := tenant(t, nil, one, route)
	require.ErrorContains(t, together.sync(t.Context()), "no ServiceEntry", "by their names the route is first")
	wave := strings.Replace(one, "metadata: {name: api,", `metadata: {name: api, annotations: {argocd.argoproj.io/sync-wave: "-1"},`, 1)
	apart := tenant(t, nil, wave, route)
	require.NoError(t, apart.sync(t.Context()))
	synced(t, apart)
	is, _ := state(t, apart)
	assert.Equal(t, health.HealthStatusHealthy, is, "the wave has waited")
}

// gatewayAPI makes the kind of HTTPRoutes, as far as the API server has a say in it.
func gatewayAPI(t *testing.T) {
	t.Helper()
	crds, err := split([]byte(`
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: httproutes.gateway.networking.k8s.io, annotations: {api-approved.kubernetes.io: unapproved}}
spec:
  group: gateway.networking.k8s.io
  scope: Namespaced
  names: {plural: httproutes, singular: httproute, kind: HTTPRoute, listKind: HTTPRouteList}
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}`))
	require.NoError(t, err)
	_, err = clientOf(t, crds[0]).Create(t.Context(), crds[0], metav1.CreateOptions{})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		_, err := shared.cluster.IsNamespaced(schema.GroupKind{Group: "gateway.networking.k8s.io", Kind: "HTTPRoute"})
		return err == nil
	}, within, 50*time.Millisecond, "Argo CD knows the kind")
}

// healthOfEntries is what the recipe says of those that are stored.
func healthOfEntries(t *testing.T) {
	t.Parallel()
	t.Run("no gateway yet", func(t *testing.T) {
		t.Parallel()
		app := tenant(t, map[string]string{"egress": "missing"}, entry)
		require.NoError(t, app.sync(t.Context()))
		require.Eventually(t, func() bool { _, why := state(t, app); return strings.Contains(why, "missing") }, within, 50*time.Millisecond)
		is, why := state(t, app)
		assert.Equal(t, health.HealthStatusProgressing, is, why)
	})
	t.Run("suspended", func(t *testing.T) {
		t.Parallel()
		app := tenant(t, nil, entry)
		require.NoError(t, app.sync(t.Context()))
		healthy(t, app)
		policies, err := split([]byte(strings.ReplaceAll(`
apiVersion: egress-governor.io/v1alpha1
kind: EgressPolicy
metadata: {name: NAME}
spec: {existing: Suspend, match: {namespaces: [NAME]}, policy: denied-hosts, parameters: {hosts: [NAME.example.com]}}`, "NAME", app.Name)))
		require.NoError(t, err)
		_, err = clientOf(t, policies[0]).Create(t.Context(), policies[0], metav1.CreateOptions{})
		require.NoError(t, err)
		require.Eventually(t, func() bool { is, _ := state(t, app); return is == health.HealthStatusDegraded }, within, 50*time.Millisecond)
	})
	t.Run("of the mesh", func(t *testing.T) {
		t.Parallel()
		app := tenant(t, nil, `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api}
spec: {hosts: [stock.internal], location: MESH_INTERNAL, resolution: STATIC, workloadSelector: {labels: {app: stock}}, ports: [{number: 80, name: http, protocol: HTTP}]}`)
		require.NoError(t, app.sync(t.Context()))
		healthy(t, app)
		synced(t, app)
	})
}
