package flux

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/ssa"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/egress-governor/egress-governor/test/controlplane"
	"github.com/egress-governor/egress-governor/test/recipes"
)

// What a tenant has in Git. HOST stands for a host of his own.
const (
	entry = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api, labels: {app.kubernetes.io/instance: shop}, annotations: {owner: shop}}
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

// checks are the health checks of the recipe.
func checks(t *testing.T) []kustomize.CustomHealthCheck {
	t.Helper()
	var kustomization struct {
		Spec struct {
			HealthCheckExprs []kustomize.CustomHealthCheck `json:"healthCheckExprs"`
		} `json:"spec"`
	}
	recipes.Read(t, "recipes.md", "kustomization.yaml", &kustomization)
	require.NotEmpty(t, kustomization.Spec.HealthCheckExprs)
	return kustomization.Spec.HealthCheckExprs
}

// waits waits as Flux does for what it has applied.
func (k *kustomization) waits(timeout time.Duration) error {
	return k.manager.Wait(copies(k.objects), ssa.WaitOptions{Interval: 100 * time.Millisecond, Timeout: timeout})
}

// stored returns an object as it is stored.
func (k *kustomization) stored(t *testing.T, kind string) *unstructured.Unstructured {
	t.Helper()
	for _, object := range k.objects {
		if object.GetKind() == kind {
			out := object.DeepCopy()
			require.NoError(t, shared.Client.Get(t.Context(), client.ObjectKeyFromObject(object), out))
			return out
		}
	}
	require.Fail(t, "nothing of the kind "+kind)
	return nil
}

// all asserts that each object has had the same done to it.
func all(t *testing.T, want ssa.Action, got map[string]ssa.Action, err error, n int) {
	t.Helper()
	require.NoError(t, err)
	assert.Len(t, got, n)
	for subject, action := range got {
		assert.Equal(t, want, action, subject)
	}
}

// settled reconciles until nothing is left to do, as the interval of a Kustomization has it do; what depends on others is known to
// the webhook a moment later.
func (k *kustomization) settled(t *testing.T) {
	t.Helper()
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		did, err := k.reconcile(t)
		require.NoError(c, err)
		for subject, action := range did {
			assert.Equal(c, ssa.UnchangedAction, action, subject)
		}
	}, within, 200*time.Millisecond)
}

func (k *kustomization) exits(t *testing.T) []*unstructured.Unstructured {
	t.Helper()
	out, err := controlplane.ExitSet(t.Context(), shared.Client, controlplane.GatewayNamespace, k.host())
	require.NoError(t, err)
	return out
}

// whatTenantsWrite is sealed, is healthy, is found unchanged ever after, and goes without a trace.
func whatTenantsWrite(t *testing.T) {
	t.Parallel()
	k := tenant(t, nil)
	k.says(t, entry, routes, rule, config)
	did, err := k.reconcile(t)
	all(t, ssa.CreatedAction, did, err, 4)
	require.NoError(t, k.waits(within))
	assert.Equal(t, "True", controlplane.ConditionOf(k.stored(t, "ServiceEntry"), "ExitReady", "status"))
	k.settled(t)
	before := map[string]string{}
	for _, kind := range []string{"ServiceEntry", "VirtualService", "DestinationRule"} {
		before[kind] = k.stored(t, kind).GetResourceVersion()
		assert.NotEqual(t, k.object(kind).Object["spec"], k.stored(t, kind).Object["spec"], "%s is stored as it was written", kind)
	}
	for range 5 {
		did, err = k.reconcile(t)
		all(t, ssa.UnchangedAction, did, err, 4)
	}
	for kind, version := range before {
		assert.Equal(t, version, k.stored(t, kind).GetResourceVersion(), "%s was written", kind)
	}
	exits := k.exits(t)
	require.NotEmpty(t, exits)
	for _, exit := range exits {
		for key := range exit.GetLabels() {
			assert.Contains(t, []string{"app.kubernetes.io/managed-by", "egress-governor.io/gateway"}, key, "a label of the entry's, by which Flux or Argo CD may know the exit for its own")
		}
		assert.NotContains(t, exit.GetAnnotations(), "owner")
	}

	began := time.Now()
	gone, err := actions(k.manager.DeleteAll(t.Context(), copies(k.objects), ssa.DeleteOptions{
		PropagationPolicy: "Background", Inclusions: k.manager.GetOwnerLabels(k.name, "flux-system"),
	}))
	all(t, ssa.DeletedAction, gone, err, 4)
	require.NoError(t, k.manager.WaitForTermination(copies(k.objects), ssa.WaitOptions{Interval: 50 * time.Millisecond, Timeout: within}))
	require.Eventually(t, func() bool { return len(k.exits(t)) == 0 }, within, 50*time.Millisecond, "the exit goes")
	t.Logf("all was gone after %s", time.Since(began))
}

func (k *kustomization) object(kind string) *unstructured.Unstructured {
	for _, object := range k.objects {
		if object.GetKind() == kind {
			return object
		}
	}
	return nil
}

// whatAHandChanges is put back as it is in Git.
func whatAHandChanges(t *testing.T) {
	t.Parallel()
	k := tenant(t, nil)
	k.says(t, entry, routes, rule)
	_, err := k.reconcile(t)
	require.NoError(t, err)
	require.NoError(t, k.waits(within))
	k.settled(t)
	record := client.RawPatch(types.MergePatchType, []byte(`{"metadata": {"annotations": {"egress-governor.io/intent": null}}}`))
	require.ErrorContains(t, shared.Client.Patch(t.Context(), k.stored(t, "ServiceEntry"), record), "(intent-annotation)")
	for name, tc := range map[string]struct{ kind, patch string }{
		"a field of Git's":        {"ServiceEntry", `{"spec": {"ports": [{"number": 443, "name": "tls", "protocol": "TLS"}]}}`},
		"a field of nobody's":     {"ServiceEntry", `{"spec": {"exportTo": ["."]}}`},
		"what was sealed":         {"ServiceEntry", `{"spec": {"endpoints": [{"address": "elsewhere.example.org"}]}}`},
		"what was sealed, out":    {"ServiceEntry", `{"spec": {"endpoints": null}}`},
		"a label":                 {"ServiceEntry", `{"metadata": {"labels": {"app.kubernetes.io/instance": "other"}}}`},
		"a timeout":               {"VirtualService", `{"spec": {"http": [{"timeout": "60s", "route": [{"destination": {"host": "HOST", "port": {"number": 80}}}]}]}}`},
		"TLS routes besides":      {"VirtualService", `{"spec": {"tls": [{"match": [{"sniHosts": ["HOST"], "port": 443}], "route": [{"destination": {"host": "HOST", "port": {"number": 443}}}]}]}}`},
		"what the exit has of it": {"DestinationRule", `{"spec": {"trafficPolicy": {"outlierDetection": {"consecutive5xxErrors": 9}}}}`},
		"what nobody set":         {"DestinationRule", `{"spec": {"trafficPolicy": {"connectionPool": {"tcp": {"connectTimeout": "9s"}}}}}`},
	} {
		t.Run(name, func(t *testing.T) {
			before := k.stored(t, tc.kind)
			patch := client.RawPatch(types.MergePatchType, []byte(strings.ReplaceAll(tc.patch, "HOST", k.host())))
			require.NoError(t, shared.Client.Patch(t.Context(), before.DeepCopy(), patch, client.FieldOwner("kubectl-edit")))
			did, err := k.reconcile(t)
			require.NoError(t, err, "%v", did)
			k.settled(t)
			after := k.stored(t, tc.kind)
			assert.Equal(t, before.Object["spec"], after.Object["spec"])
			assert.Equal(t, before.GetLabels(), after.GetLabels())
			assert.Equal(t, before.GetAnnotations(), after.GetAnnotations())
		})
	}
}

// whatIsRefused is refused before anything of the Kustomization is applied, by the words that the author needs.
func whatIsRefused(t *testing.T) {
	t.Parallel()
	k := tenant(t, nil)
	k.says(t, config, entry, strings.Replace(strings.Replace(entry, "name: api", "name: db", 1), "resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]", "resolution: DNS, ports: [{number: 5432, name: db, protocol: TCP}]", 1))
	_, err := k.reconcile(t)
	require.ErrorContains(t, err, "ServiceEntry/"+k.name+"/db")
	require.ErrorContains(t, err, "spec.ports[0]")
	require.ErrorContains(t, err, "Fix: ")
	for _, object := range k.objects {
		assert.True(t, apierrors.IsNotFound(shared.Client.Get(t.Context(), client.ObjectKeyFromObject(object), object.DeepCopy())), object.GetName())
	}
}

// whatNeedsSomethingElse: Flux tries all of a Kustomization before it applies any, and so what is in order only by something else of it
// is refused time and again. It is a Kustomization of its own that depends on the other.
func whatNeedsSomethingElse(t *testing.T) {
	t.Parallel()
	gatewayAPI(t)
	const route = `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: api}
spec: {parentRefs: [{group: networking.istio.io, kind: ServiceEntry, name: api}], rules: [{backendRefs: [{group: networking.istio.io, kind: Hostname, name: HOST, port: 80}]}]}`
	const policy = `
apiVersion: egress-governor.io/v1alpha1
kind: EgressPolicy
metadata: {name: HOST}
spec: {match: {namespaces: [NAMESPACE]}, policy: allowed-hosts, parameters: {hosts: [LISTED, rule.HOST]}}`
	t.Run("routes of the Gateway API", func(t *testing.T) {
		t.Parallel()
		k := tenant(t, nil)
		one := strings.Replace(entry, ", rule.HOST", "", 1)
		for range 2 {
			k.says(t, one, route)
			_, err := k.reconcile(t)
			require.ErrorContains(t, err, "HTTPRoute/"+k.name+"/api")
			require.ErrorContains(t, err, "no ServiceEntry")
		}
		k.says(t, one)
		_, err := k.reconcile(t)
		require.NoError(t, err)
		require.NoError(t, k.waits(within))
		k.says(t, route)
		k.settled(t)
	})
	t.Run("policies", func(t *testing.T) {
		t.Parallel()
		k := tenant(t, nil)
		listing := func(host string) string {
			return strings.NewReplacer("NAMESPACE", k.name, "LISTED", host).Replace(policy)
		}
		k.says(t, listing("other.example.com"))
		k.settled(t)
		for range 2 {
			k.says(t, listing("HOST"), entry)
			require.EventuallyWithT(t, func(c *assert.CollectT) {
				_, err := k.reconcile(t)
				require.ErrorContains(c, err, "is not allowed in namespace")
			}, within, 50*time.Millisecond)
		}
		k.says(t, listing("HOST"))
		k.settled(t)
		k.says(t, entry)
		k.settled(t)
	})
}

// gatewayAPI installs the CRDs of the Gateway API, of the module that this program is built with.
func gatewayAPI(t *testing.T) {
	t.Helper()
	folder, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/gateway-api").Output()
	require.NoError(t, err)
	_, err = envtest.InstallCRDs(shared.Config, envtest.CRDInstallOptions{ErrorIfPathMissing: true, Paths: []string{
		filepath.Join(strings.TrimSpace(string(folder)), "config", "crd", "standard", "gateway.networking.k8s.io_httproutes.yaml"),
	}})
	require.NoError(t, err)
}

// health is what the recipe says of those that are stored: waited for, or failed at once.
func health(t *testing.T) {
	t.Parallel()
	t.Run("no gateway yet", func(t *testing.T) {
		t.Parallel()
		k := tenant(t, map[string]string{"egress": "missing"})
		k.says(t, entry)
		_, err := k.reconcile(t)
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			return controlplane.ConditionOf(k.stored(t, "ServiceEntry"), "ExitReady", "reason") == "GatewayNotReady"
		}, within, 50*time.Millisecond)
		err = k.waits(2 * time.Second)
		require.ErrorContains(t, err, "timeout waiting for")
		require.ErrorContains(t, err, "InProgress")
	})
	t.Run("suspended", func(t *testing.T) {
		t.Parallel()
		k := tenant(t, nil)
		k.says(t, entry)
		_, err := k.reconcile(t)
		require.NoError(t, err)
		require.NoError(t, k.waits(within))
		policies, err := controlplane.Decode(strings.NewReader(strings.ReplaceAll(`
apiVersion: egress-governor.io/v1alpha1
kind: EgressPolicy
metadata: {name: NAME}
spec: {existing: Suspend, match: {namespaces: [NAME]}, policy: denied-hosts, parameters: {hosts: [NAME.example.com]}}`, "NAME", k.name)))
		require.NoError(t, err)
		require.NoError(t, shared.Client.Create(t.Context(), policies[0]))
		require.Eventually(t, func() bool {
			return controlplane.ConditionOf(k.stored(t, "ServiceEntry"), "ExitReady", "reason") == "Suspended"
		}, within, 50*time.Millisecond)
		require.ErrorContains(t, k.waits(within), "failed early due to stalled resources")
	})
}
