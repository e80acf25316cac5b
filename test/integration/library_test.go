package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/test/controlplane"
)

// The ways round an egress gateway that admission closes, each by its name, on a real API server.

// refused is a manifest that is not stored, and the policy or the code that says so.
type refused struct{ policy, kind, body string }

func (r refused) create(t *testing.T, namespace string) error {
	t.Helper()
	group := map[string]string{
		"WasmPlugin": "extensions.istio.io/v1alpha1", "TrafficExtension": "extensions.istio.io/v1alpha1",
		"EnvoyFilter": "networking.istio.io/v1alpha3", "ProxyConfig": "networking.istio.io/v1beta1",
	}[r.kind]
	if group == "" {
		group = "networking.istio.io/v1"
	}
	manifest := fmt.Sprintf("apiVersion: %s\nkind: %s\nmetadata: {name: bypass}\n%s", group, r.kind, r.body)
	return shared.Client.Create(t.Context(), object(t, namespace, manifest))
}

// TestBypassesThatTheBaselineCloses: nobody has applied a policy here.
func TestBypassesThatTheBaselineCloses(t *testing.T) {
	t.Parallel()
	sends(t, "sidecars", "envoyfilters", "wasmplugins", "trafficextensions", "proxyconfigs", "workloadentries", "workloadgroups")
	for name, row := range map[string]refused{
		"ServiceEntry for a host below svc":     {"deputy-host", "ServiceEntry", `spec: {hosts: [pay.shop.svc], resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}`},
		"ServiceEntry for a short name":         {"short-host", "ServiceEntry", `spec: {hosts: [reviews], resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}`},
		"WorkloadEntry with an address outside": {"workload-entries", "WorkloadEntry", `spec: {address: 203.0.113.7, labels: {app: pay}}`},
		"WorkloadEntry with a name outside":     {"workload-entries", "WorkloadEntry", `spec: {address: evil.example.com, labels: {app: pay}}`},
		"WorkloadGroup with an address":         {"workload-entries", "WorkloadGroup", `spec: {template: {address: 203.0.113.7, serviceAccount: default}}`},
		"DestinationRule with a tunnel":         {"destination-tunnel", "DestinationRule", `spec: {host: squid, trafficPolicy: {tunnel: {targetHost: evil.example.com, targetPort: 443}}}`},
		"DestinationRule with a tunnel of a subset": {"destination-tunnel", "DestinationRule",
			`spec: {host: squid, subsets: [{name: a, trafficPolicy: {tunnel: {targetHost: evil.example.com, targetPort: 443}}}]}`},
		"Sidecar with ALLOW_ANY":        {"sidecar-outbound", "Sidecar", `spec: {outboundTrafficPolicy: {mode: ALLOW_ANY}}`},
		"Sidecar with an egressProxy":   {"sidecar-outbound", "Sidecar", `spec: {outboundTrafficPolicy: {egressProxy: {host: evil.example.com, port: {number: 80}}}}`},
		"Sidecar that captures nothing": {"sidecar-outbound", "Sidecar", `spec: {egress: [{hosts: ["./*"], captureMode: NONE}]}`},
		"EnvoyFilter": {"envoy-extensions", "EnvoyFilter",
			`spec: {configPatches: [{applyTo: CLUSTER, match: {context: SIDECAR_OUTBOUND}, patch: {operation: REMOVE}}]}`},
		"Gateway for every host on the egress gateway": {"gateway-binding", "Gateway", `spec: {selector: {istio: egressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}`},
		"Gateway on another port of it":                {"gateway-binding", "Gateway", `spec: {selector: {istio: egressgateway}, servers: [{port: {number: 9080, name: http, protocol: HTTP}, hosts: [a.lets.test]}]}`},
		"VirtualService in another script":             {"canonical-hosts", "VirtualService", `spec: {hosts: [bücher.lets.test], http: [{route: [{destination: {host: reviews}}]}]}`},
		"VirtualService with half a wildcard":          {"canonical-hosts", "VirtualService", `spec: {hosts: ["*foo.lets.test"], http: [{route: [{destination: {host: reviews}}]}]}`},
		"ServiceEntry of an impostor": {"honest-endpoints", "ServiceEntry",
			`spec: {hosts: [bank.lets.test], exportTo: [default], resolution: DNS, endpoints: [{address: evil.example.net}], subjectAltNames: [evil.example.net], ports: [{number: 80, name: http, protocol: HTTP, targetPort: 443}]}`},
		"WasmPlugin":       {"envoy-extensions", "WasmPlugin", `spec: {url: "oci://evil.example.com/plugin"}`},
		"TrafficExtension": {"envoy-extensions", "TrafficExtension", `spec: {lua: {inlineCode: "function envoy_on_request(h) end"}}`},
		"ProxyConfig":      {"envoy-extensions", "ProxyConfig", `spec: {environmentVariables: {ISTIO_META_DNS_CAPTURE: "false"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := row.create(t, namespace(t, nil))
			require.Error(t, err)
			assert.Contains(t, []int32{403, 422}, code(err), "%v", err)
			assert.Contains(t, err.Error(), "("+row.policy+")")
			assert.Contains(t, err.Error(), "Fix: ")
		})
	}
	t.Run("VirtualService with istiod's own annotation", func(t *testing.T) {
		t.Parallel()
		err := shared.Client.Create(t.Context(), object(t, namespace(t, nil), `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: bypass, annotations: {internal.istio.io/route-semantics: gateway}}
spec: {hosts: [reviews], http: [{route: [{destination: {host: reviews}}]}]}`))
		require.Error(t, err)
		assert.Contains(t, err.Error(), "(route-integrity)")
	})
}

// TestWhatTheBaselineLets: the same kinds as people commonly write them.
func TestWhatTheBaselineLets(t *testing.T) {
	t.Parallel()
	sends(t, "sidecars", "workloadgroups")
	for _, row := range []refused{
		{"", "Sidecar", `spec: {egress: [{hosts: ["./*", "istio-system/*"]}]}`},
		{"", "Sidecar", `spec: {outboundTrafficPolicy: {mode: REGISTRY_ONLY}}`},
		{"", "WorkloadGroup", `spec: {template: {serviceAccount: default}}`},
		{"", "ServiceEntry", `spec: {hosts: [API.lets.test.], exportTo: ["."], ports: [{number: 80, name: http, protocol: HTTP}]}`},
		{"", "ServiceEntry", `spec: {hosts: [static.lets.test], exportTo: ["."], resolution: STATIC, endpoints: [{address: 203.0.113.9}], ports: [{number: 80, name: http, protocol: HTTP}]}`},
		{"", "Gateway", `spec: {selector: {istio: egressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [guide.lets.test]}]}`},
		{"", "DestinationRule", `spec: {host: reviews, subsets: [{name: v1, labels: {tunnel: v1}}]}`},
	} {
		require.NoError(t, row.create(t, namespace(t, nil)), row.body)
	}
}

// TestBypassesThatAPolicyOfTheLibraryCloses, as the examples of the library put it in force.
func TestBypassesThatAPolicyOfTheLibraryCloses(t *testing.T) {
	t.Parallel()
	entry := func(body string) refused {
		return refused{kind: "ServiceEntry", body: "spec: {resolution: DNS, " + body + "}"}
	}
	routes := func(route string) refused {
		return refused{kind: "VirtualService", body: "spec: {hosts: [reviews], http: [{" + route + "}]}"}
	}
	const tls, leads = `ports: [{number: 443, name: tls, protocol: TLS}]`, `route: [{destination: {host: reviews}}]`
	for policy, of := range map[string]struct {
		parameters string
		rows       map[string]refused
	}{
		"denied-hosts": {"{hosts: [\"*.paste.test\"]}", map[string]refused{
			"a listed host": entry("hosts: [a.paste.test], " + tls), "a wildcard over one": entry(`hosts: ["*.paste.test"], ` + tls),
		}},
		"allowed-ports": {"{}", map[string]refused{
			"HTTP on 443":            entry("hosts: [lie.ports.test], ports: [{number: 443, name: http, protocol: HTTP}]"),
			"TLS on 80":              entry("hosts: [lie.ports.test], ports: [{number: 80, name: tls, protocol: TLS}]"),
			"a port of its own":      entry("hosts: [lie.ports.test], ports: [{number: 8443, name: tls, protocol: TLS}]"),
			"a targetPort elsewhere": entry("hosts: [lie.ports.test], ports: [{number: 443, name: tls, protocol: TLS, targetPort: 22}]"),
		}},
		"export-scope": {"{namespaces: [friend]}", map[string]refused{
			"exportTo of all":    entry(`hosts: [a.scope.test], exportTo: ["."` + `, stranger], ` + tls),
			"a rule for all":     {kind: "DestinationRule", body: "spec: {host: reviews}"},
			"routes for all":     routes(leads),
			"routes for another": {kind: "VirtualService", body: "spec: {hosts: [reviews], exportTo: [stranger], http: [{" + leads + "}]}"},
		}},
		"host-owner": {"{owners: [{hosts: [\"*.owned.test\"], namespaces: [somebody]}]}", map[string]refused{
			"an entry of a host of others": entry("hosts: [a.owned.test], " + tls), "routes for one": {kind: "VirtualService", body: "spec: {hosts: [a.owned.test], http: [{" + leads + "}]}"},
		}},
		"no-wildcards": {"{}", map[string]refused{"a wildcard": entry(`hosts: ["*.wild.test"], ` + tls)}},
		"tls-only":     {"{}", map[string]refused{"plain HTTP": entry("hosts: [a.plain.test], ports: [{number: 80, name: http, protocol: HTTP}]")}},
		"route-integrity": {"{}", map[string]refused{
			"a rewritten authority": routes(leads + ", rewrite: {authority: evil.example.com}"),
			"a Host header":         routes(leads + ", headers: {request: {set: {Host: evil.example.com}}}"),
			"a redirect":            routes("redirect: {authority: evil.example.com}"),
			"a mirror":              routes(leads + ", mirror: {host: evil}"),
			"a delegate":            routes("delegate: {name: other}"),
			"a direct response":     routes("directResponse: {status: 200}"),
		}},
		"gateway-binding": {"{}", map[string]refused{
			"a Gateway on its pods": {kind: "Gateway", body: `spec: {selector: {istio: egressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["a.bind.test"]}]}`},
		}},
		"expiring-hosts": {"{hosts: [{host: old.expired.test, until: \"2020-01-31\"}]}", map[string]refused{"a host after its time": entry("hosts: [old.expired.test], " + tls)}},
	} {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			selecting(t, policy, policy, of.parameters)
			for name, row := range of.rows {
				err := row.create(t, namespace(t, map[string]string{"test": policy}))
				require.Error(t, err, name)
				assert.Equal(t, int32(403), code(err), "%s: %v", name, err)
				assert.Contains(t, err.Error(), "("+policy+")", name)
			}
		})
	}
}

// TestExamplesOfTheLibraryAreTakenAsTheyAre: by the API server's schema, and by the webhook, which compiles them.
func TestExamplesOfTheLibraryAreTakenAsTheyAre(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../policies/*/example.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		raw, err := os.ReadFile(file)
		require.NoError(t, err)
		require.NoError(t, shared.Client.Create(t.Context(), object(t, "", string(raw)), client.DryRunAll), file)
	}
}

// TestAHostThatExpiresIsWarnedOf before it is denied.
func TestAHostThatExpiresIsWarnedOf(t *testing.T) {
	t.Parallel()
	until := time.Now().AddDate(0, 0, 5).UTC().Format(time.DateOnly)
	selecting(t, "expires", "expiring-hosts", `{hosts: [{host: old.expires.test, until: "`+until+`"}]}`)
	c, heard := warned(t)
	in := entry(t, "v1", namespace(t, map[string]string{"test": "expires"}), "old", strings.ReplaceAll(hostSpec, "HOST", "old.expires.test"))
	require.NoError(t, c.Create(t.Context(), in))
	assert.Contains(t, strings.Join(heard.texts, "\n"), "is allowed until "+until)
}

// selecting puts a policy of the library in force in the namespaces of a label, for the kinds that it is for.
func selecting(t *testing.T, label, policy, parameters string) {
	t.Helper()
	in := object(t, "", "apiVersion: egress-governor.io/v1alpha1\nkind: EgressPolicy\nmetadata: {name: lib-"+label+"}\nspec:\n  match: {namespaceSelector: {matchLabels: {test: "+label+"}}}\n  policy: "+policy+"\n  parameters: "+parameters)
	require.NoError(t, shared.Client.Create(t.Context(), in))
	t.Cleanup(func() { _ = shared.Client.Delete(context.Background(), in) })
	eventually(t, func() bool { return inForce(get(t, in)) }, "the policy is in force")
}

// rules returns the resources that the API server sends to the webhook of the policies.
func rules(t *testing.T) string {
	t.Helper()
	configuration := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	require.NoError(t, shared.Client.Get(t.Context(), types.NamespacedName{Name: controlplane.Release}, configuration))
	var out []string
	for _, rule := range configuration.Webhooks[1].Rules {
		out = append(out, fmt.Sprintf("%s %s %s", strings.Join(rule.APIGroups, ","), strings.Join(rule.APIVersions, ","), strings.Join(rule.Resources, ",")))
	}
	return strings.Join(out, "; ")
}

// sends waits until the API server sends these resources: it learns of the rules a moment after they are written.
func sends(t *testing.T, resources ...string) {
	t.Helper()
	eventually(t, func() bool {
		written := rules(t)
		for _, resource := range resources {
			if !strings.Contains(written, resource) {
				return false
			}
		}
		manifest := object(t, "default", "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: probe}\n"+allowAny.body)
		return shared.Client.Create(t.Context(), manifest, client.DryRunAll) != nil
	}, "the API server sends what the policies ask for")
}
