package integration

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/gateway-api/pkg/consts"
)

// gatewayAPI installs the CRDs of the Gateway API, of the module that this program is built with, while the test runs.
func gatewayAPI(t *testing.T, config *rest.Config) {
	t.Helper()
	folder, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/gateway-api").Output()
	require.NoError(t, err)
	var files []string
	for _, plural := range []string{"backendtlspolicies", "gateways", "grpcroutes", "httproutes", "referencegrants", "tcproutes", "tlsroutes"} {
		files = append(files, filepath.Join(strings.TrimSpace(string(folder)), "config", "crd", "experimental", "gateway.networking.k8s.io_"+plural+".yaml"))
	}
	options := envtest.CRDInstallOptions{Paths: files, ErrorIfPathMissing: true}
	crds, err := envtest.InstallCRDs(config, options)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, envtest.UninstallCRDs(config, options)) })
	for _, crd := range crds {
		require.Equal(t, consts.BundleVersion, crd.Annotations[consts.BundleVersionAnnotation])
	}
}

// bothSpec is an entry of HTTP and TLS.
const bothSpec = `{hosts: [HOST], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]}`

// apiRoute is a route of a namespace. ENTRY stands for a ServiceEntry as parent, HOST for a host as backend.
func apiRoute(t *testing.T, namespace, version, kind, spec string) *unstructured.Unstructured {
	t.Helper()
	spec = strings.NewReplacer(
		"ENTRY", "group: networking.istio.io, kind: ServiceEntry, name", "HOST", "group: networking.istio.io, kind: Hostname, name",
	).Replace(spec)
	return object(t, namespace, fmt.Sprintf("apiVersion: gateway.networking.k8s.io/%s\nkind: %s\nmetadata: {generateName: r-}\nspec: {%s}", version, kind, spec))
}

// TestRoutesOfTheGatewayAPI are judged from the moment the cluster has them. Until then the rules for their kinds stand in the
// webhook's configuration, as all other tests show, and nobody is the worse.
func TestRoutesOfTheGatewayAPI(t *testing.T) {
	t.Parallel()
	gatewayAPI(t, shared.Config)
	t.Run("in each version", routesInEachVersion)
	t.Run("that are stored", storedRoutes)
	t.Run("that a policy forbids", forbiddenRoutes)
}

// forbiddenRoutes are in order, where the platform team will have none.
func forbiddenRoutes(t *testing.T) {
	selecting(t, "gateway-api-routes", "gateway-api-routes", "{}")
	ns := namespace(t, map[string]string{"test": "gateway-api-routes"})
	require.NoError(t, shared.Client.Create(t.Context(), entry(t, "v1", ns, "api", strings.ReplaceAll(bothSpec, "HOST", "forbidden.api.test"))))
	err := shared.Client.Create(t.Context(), apiRoute(t, ns, "v1", "HTTPRoute", "parentRefs: [{ENTRY: api}], rules: [{backendRefs: [{HOST: forbidden.api.test, port: 80}]}]"))
	assert.Equal(t, int32(403), code(err), "%v", err)
	require.ErrorContains(t, err, "spec.parentRefs[0]: ")
	require.ErrorContains(t, err, "(gateway-api-routes)")
	require.NoError(t, shared.Client.Create(t.Context(), apiRoute(t, ns, "v1", "HTTPRoute", "parentRefs: [{group: '', kind: Service, name: reviews}], rules: [{backendRefs: [{name: reviews, port: 80}]}]")))
}

// routesInEachVersion are stored as they are, or refused.
func routesInEachVersion(t *testing.T) {
	ns := namespace(t, nil)
	one := entry(t, "v1", ns, "api", strings.ReplaceAll(bothSpec, "HOST", "one.api.test"))
	require.NoError(t, shared.Client.Create(t.Context(), one))
	require.NoError(t, shared.Client.Create(t.Context(), entry(t, "v1", ns, "two", strings.ReplaceAll(bothSpec, "HOST", "two.api.test"))))

	const carried, tls = "parentRefs: [{ENTRY: api}], rules: [{backendRefs: [{HOST: one.api.test, port: 80, weight: 9}, {name: reviews, port: 80, weight: 1}]}]", "parentRefs: [{ENTRY: api, port: 443}], rules: [{backendRefs: [{HOST: one.api.test, port: 443}]}]"
	for _, of := range []struct{ version, kind, spec string }{
		{"v1", "HTTPRoute", carried}, {"v1beta1", "HTTPRoute", carried}, {"v1", "GRPCRoute", carried}, {"v1", "TLSRoute", tls + ", hostnames: [one.api.test]"},
		{"v1alpha2", "TCPRoute", "parentRefs: [{group: '', kind: Service, name: reviews}], rules: [{backendRefs: [{name: reviews, port: 80}]}]"},
	} {
		in := apiRoute(t, ns, of.version, of.kind, of.spec)
		want, _, _ := unstructured.NestedSlice(in.Object, "spec", "rules")
		require.NoError(t, shared.Client.Create(t.Context(), in), "%s %s", of.version, of.kind)
		backends := func(rule any) string {
			var names []string
			list, _, _ := unstructured.NestedSlice(rule.(map[string]any), "backendRefs")
			for _, item := range list {
				names = append(names, fmt.Sprint(item.(map[string]any)["name"]))
			}
			return strings.Join(names, " ")
		}
		stored, _, _ := unstructured.NestedSlice(get(t, in).Object, "spec", "rules")
		assert.Equal(t, backends(want[0]), backends(stored[0]), of.kind)
		assert.Empty(t, get(t, in).GetAnnotations(), of.kind)
	}
	for _, of := range []struct{ version, kind, spec, want string }{
		{"v1", "HTTPRoute", "parentRefs: [{ENTRY: api}], rules: [{backendRefs: [{HOST: two.api.test, port: 80}]}]", `spec.rules[0].backendRefs[0].name: calls led to "two.api.test" ask the egress gateway for "one.api.test"`},
		{"v1beta1", "HTTPRoute", "parentRefs: [{ENTRY: api}], rules: [{backendRefs: [{HOST: two.api.test, port: 80}]}]", "(other-host)"},
		{"v1", "GRPCRoute", "parentRefs: [{ENTRY: two}], rules: [{backendRefs: [{HOST: one.api.test, port: 80}]}]", "(other-host)"},
		{"v1", "TLSRoute", "parentRefs: [{ENTRY: api}], hostnames: [other.test], rules: [{backendRefs: [{name: reviews, port: 443}]}]", "spec.hostnames: hostname \"other.test\" is none of host \"one.api.test\""},
		{"v1", "TCPRoute", "parentRefs: [{group: '', kind: Service, name: reviews}], rules: [{backendRefs: [{HOST: one.api.test, port: 443}]}]", "(raw-protocol)"},
		{"v1", "HTTPRoute", "parentRefs: [{ENTRY: api}], rules: [{backendRefs: [{HOST: nobody.api.test, port: 80}]}]", "(unknown-host)"},
		{"v1", "HTTPRoute", "parentRefs: [{ENTRY: later}], rules: [{backendRefs: [{name: reviews, port: 80}]}]", "(unknown-entry)"},
	} {
		err := shared.Client.Create(t.Context(), apiRoute(t, ns, of.version, of.kind, of.spec))
		require.Error(t, err, "%s %s", of.version, of.kind)
		assert.Equal(t, int32(422), code(err), err)
		assert.Contains(t, err.Error(), of.want)
		require.Error(t, shared.Client.Create(t.Context(), apiRoute(t, ns, of.version, of.kind, of.spec), client.DryRunAll))
	}
	exempt := namespace(t, map[string]string{"egress-governor.io/exempt": "true"})
	require.NoError(t, shared.Client.Create(t.Context(), apiRoute(t, exempt, "v1", "HTTPRoute", "parentRefs: [{ENTRY: api}], rules: [{backendRefs: [{HOST: two.api.test, port: 80}]}]")))
}

// storedRoutes are judged again by whoever changes what they say, and let everything else be written though their entry is gone.
func storedRoutes(t *testing.T) {
	ns := namespace(t, nil)
	one := entry(t, "v1", ns, "api", strings.ReplaceAll(bothSpec, "HOST", "one.stored.test"))
	require.NoError(t, shared.Client.Create(t.Context(), one))
	// Just after its entry, as one apply has it.
	route := apiRoute(t, ns, "v1", "HTTPRoute", "parentRefs: [{ENTRY: api}], rules: [{backendRefs: [{HOST: one.stored.test, port: 80}]}]")
	require.NoError(t, shared.Client.Create(t.Context(), route))
	patch := func(body string) error {
		return shared.Client.Patch(context.WithoutCancel(t.Context()), route.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(body)))
	}
	const other = `{"spec":{"rules":[{"backendRefs":[{"group":"networking.istio.io","kind":"Hostname","name":"evil.stored.test","port":80}]}]}}`
	require.ErrorContains(t, patch(other), "(unknown-host)")
	require.NoError(t, shared.Client.Delete(t.Context(), one))
	eventually(t, func() bool {
		err := patch(`{"spec":{"rules":[{"backendRefs":[{"group":"networking.istio.io","kind":"Hostname","name":"one.stored.test","port":80,"weight":2}]}]}}`)
		return err != nil && strings.Contains(err.Error(), "(unknown-entry)")
	}, "what it says is judged again")
	require.NoError(t, patch(`{"metadata":{"labels":{"a":"b"},"finalizers":["test.egress-governor.io/hold"]}}`))
	require.NoError(t, patch(`{"metadata":{"finalizers":null}}`))
	require.NoError(t, shared.Client.Delete(t.Context(), route))
}
