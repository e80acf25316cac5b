package hop_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/hop"
)

const gatewayService = egresstest.GatewayService

func mesh() *egress.Mesh { return egresstest.Mesh() }

func object(t *testing.T, manifest string) *unstructured.Unstructured {
	t.Helper()
	out := &unstructured.Unstructured{}
	require.NoError(t, yaml.Unmarshal([]byte(manifest), &out.Object))
	raw, err := out.MarshalJSON()
	if err == nil {
		// Numbers as the API server's decoder gives them.
		require.NoError(t, out.UnmarshalJSON(raw))
	}
	return out
}

func entry(t *testing.T, spec string) *unstructured.Unstructured {
	t.Helper()
	return object(t, "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: api, namespace: payments}\nspec: "+spec)
}

func TestSealLeavesTheGatewayAsTheOnlyEndpoint(t *testing.T) {
	t.Parallel()
	in := entry(t, `{hosts: [api.example.com],
		resolution: DNS,
		ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]}`)
	out, err := hop.Seal(in, mesh().Gateways[0], mesh())
	require.NoError(t, err)
	spec := out.Object["spec"].(map[string]any)
	assert.Equal(t, "DNS", spec["resolution"])
	assert.Equal(t, []any{map[string]any{
		"address": gatewayService, "ports": map[string]any{"http": int64(80), "tls": int64(443)},
	}}, spec["endpoints"])
	gw, ok := hop.SealedTo(out, mesh())
	assert.True(t, ok)
	assert.Equal(t, "default", gw.Name)
}

// The author's next apply meets the sealed object; what it changes must win over what the annotation remembers.
func TestIntentFollowsTheAuthor(t *testing.T) {
	t.Parallel()
	cases := map[string]struct{ first, change, want string }{
		"an endpoint given later replaces the remembered ones": {
			first: `{hosts: [a.example.com],
				resolution: STATIC,
				endpoints: [{address: 192.0.2.1}],
				ports: [{number: 443, name: tls, protocol: TLS}]}`,
			change: `{resolution: STATIC, endpoints: [{address: 192.0.2.2}]}`,
			want: `{hosts: [a.example.com],
				resolution: STATIC,
				endpoints: [{address: 192.0.2.2}],
				ports: [{number: 443, name: tls, protocol: TLS}]}`,
		},
		"NONE corrected to DNS": {
			first:  `{hosts: [a.example.com], resolution: NONE, ports: [{number: 443, name: tls, protocol: TLS}]}`,
			change: `{resolution: DNS}`,
			want:   `{hosts: [a.example.com], resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}`,
		},
		"DNS changed to DNS_ROUND_ROBIN": {
			first:  `{hosts: [a.example.com], resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}`,
			change: `{resolution: DNS_ROUND_ROBIN}`,
			want:   `{hosts: [a.example.com], resolution: DNS_ROUND_ROBIN, ports: [{number: 443, name: tls, protocol: TLS}]}`,
		},
		"an untouched entry": {
			first: `{hosts: [a.example.com],
				resolution: STATIC,
				endpoints: [{address: 192.0.2.1, weight: 3}],
				ports: [{number: 443, name: tls, protocol: TLS}]}`,
			change: `{}`,
			want: `{hosts: [a.example.com],
				resolution: STATIC,
				endpoints: [{address: 192.0.2.1, weight: 3}],
				ports: [{number: 443, name: tls, protocol: TLS}]}`,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stored, err := hop.Seal(entry(t, tc.first), mesh().Gateways[0], mesh())
			require.NoError(t, err)
			for key, value := range entry(t, tc.change).Object["spec"].(map[string]any) {
				stored.Object["spec"].(map[string]any)[key] = value
			}
			intent, err := hop.EntryIntent(stored, mesh())
			require.NoError(t, err)
			assert.Equal(t, entry(t, tc.want).Object, intent.Object)
		})
	}
}

func TestSmuggledEndpointIsTheIntent(t *testing.T) {
	t.Parallel()
	stored := entry(t, `{hosts: [a.example.com],
		resolution: DNS,
		endpoints: [{address: `+gatewayService+`}],
		ports: [{number: 443, name: tls, protocol: TLS}]}`)
	stored.SetAnnotations(map[string]string{hop.IntentAnnotation: `{"resolution":"STATIC","endpoints":[{"address":"203.0.113.66"}]}`})
	intent, err := hop.EntryIntent(stored, mesh())
	require.NoError(t, err)
	parsed, err := egress.ParseServiceEntry(intent)
	require.NoError(t, err)
	require.Len(t, parsed.Endpoints, 1)
	assert.Equal(t, "203.0.113.66", parsed.Endpoints[0].Address)
	assert.Equal(t, "STATIC", parsed.Resolution)
}

// TestAGatewayDoesNotFindTheSealedEntry: it would call itself. The author's own exportTo comes back.
func TestAGatewayDoesNotFindTheSealedEntry(t *testing.T) {
	t.Parallel()
	for exportTo, want := range map[string][]any{
		`[".", istio-system]`: {"."}, `[istio-system, other]`: {"other"}, `[istio-system]`: {"~"}, `["*"]`: {"*"}, `["."]`: {"."},
	} {
		in := entry(t, `{hosts: [a.example.com],
			exportTo: `+exportTo+`,
			resolution: DNS,
			ports: [{number: 443, name: tls, protocol: TLS}]}`)
		sealed, err := hop.Seal(in, mesh().Gateways[0], mesh())
		require.NoError(t, err)
		assert.Equal(t, want, sealed.Object["spec"].(map[string]any)["exportTo"], exportTo)
		intent, err := hop.EntryIntent(sealed, mesh())
		require.NoError(t, err)
		assert.Equal(t, in.Object, intent.Object, exportTo)
	}
}

// TestAnExportToThatAnEntryLeavesOut is its own namespace where the operator says so, and comes back as the author left it.
func TestAnExportToThatAnEntryLeavesOut(t *testing.T) {
	t.Parallel()
	own := mesh()
	own.OwnNamespace = true
	for exportTo, want := range map[string][]any{
		``: {"."}, `exportTo: [],`: {"."}, `exportTo: ["*"],`: {"*"}, `exportTo: [other, istio-system],`: {"other"},
	} {
		in := entry(t, `{hosts: [a.example.com], `+exportTo+` resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}`)
		sealed, err := hop.Seal(in, own.Gateways[0], own)
		require.NoError(t, err)
		assert.Equal(t, want, sealed.Object["spec"].(map[string]any)["exportTo"], exportTo)
		intent, err := hop.EntryIntent(sealed, own)
		require.NoError(t, err)
		assert.Equal(t, in.Object, intent.Object, exportTo)
		again, err := hop.Seal(sealed, own.Gateways[0], own)
		require.NoError(t, err)
		assert.Equal(t, sealed.Object, again.Object, exportTo)
	}
	internal := entry(t, `{hosts: [a.example.com], location: MESH_INTERNAL, resolution: STATIC, workloadSelector: {labels: {app: a}}, ports: [{number: 80, name: http, protocol: HTTP}]}`)
	sealed, err := hop.Seal(internal, own.Gateways[0], own)
	require.NoError(t, err)
	assert.Equal(t, internal.Object, sealed.Object, "what is the mesh's own is not egress")
}

// TestHostsAreStoredInOneSpelling, and the author's own comes back.
func TestHostsAreStoredInOneSpelling(t *testing.T) {
	t.Parallel()
	in := entry(t, `{hosts: [GOOD.example.com., "*.Wild.test", bücher.example.com],
		resolution: DNS,
		endpoints: [{address: www.wild.test}],
		ports: [{number: 443, name: tls, protocol: TLS}]}`)
	sealed, err := hop.Seal(in, mesh().Gateways[0], mesh())
	require.NoError(t, err)
	hosts, _, err := unstructured.NestedStringSlice(sealed.Object, "spec", "hosts")
	require.NoError(t, err)
	assert.Equal(t, []string{"good.example.com", "*.wild.test", "xn--bcher-kva.example.com"}, hosts)
	intent, err := hop.EntryIntent(sealed, mesh())
	require.NoError(t, err)
	assert.Equal(t, in.Object, intent.Object)
}

func TestWhatCannotBeExpressedIsRefused(t *testing.T) {
	t.Parallel()
	ports := `ports: [{number: 443, name: tls, protocol: TLS}]`
	cases := map[string]struct{ spec, code, field string }{
		"bare wildcard": {`{hosts: ["*.example.com"],
			resolution: NONE,
			` + ports + `}`, "bare-wildcard", "spec.hosts[0]"},
		"wildcard within a label": {`{hosts: ["*example.com"], resolution: DNS, ` + ports + `}`, "bad-host", "spec.hosts[0]"},
		"an address as host":      {`{hosts: [192.0.2.1], resolution: DNS, ` + ports + `}`, "ip-host", "spec.hosts[0]"},
		"the gateway as host": {`{hosts: [` + gatewayService + `],
			resolution: DNS,
			` + ports + `}`, "gateway-host", "spec.hosts[0]"},
		"a metadata server as host": {`{hosts: [metadata.google.internal], resolution: DNS, ` + ports + `}`, "deputy-host", "spec.hosts[0]"},
		"a Service as host":         {`{hosts: [a.prod.svc], resolution: DNS, ` + ports + `}`, "deputy-host", "spec.hosts[0]"},
		"the pod itself by name":    {`{hosts: [a.localhost], resolution: DNS, ` + ports + `}`, "deputy-host", "spec.hosts[0]"},
		"the pod itself": {`{hosts: [a.example.com],
			resolution: STATIC,
			endpoints: [{address: 192.0.2.1}, {address: "::ffff:127.0.0.1"}],
			` + ports + `}`, "deputy-endpoint", "spec.endpoints[1].address"},
		"a metadata server": {`{hosts: [a.example.com],
			resolution: STATIC,
			endpoints: [{address: 169.254.169.254}],
			` + ports + `}`, "deputy-endpoint", "spec.endpoints[0].address"},
		"a pod by its name": {`{hosts: [a.example.com],
			resolution: DNS,
			endpoints: [{address: 203-0-113-9.default.pod.cluster.local}],
			` + ports + `}`, "deputy-endpoint", "spec.endpoints[0].address"},
		"a Service beside the gateway": {`{hosts: [a.example.com],
			resolution: DNS,
			endpoints: [{address: istiod}],
			` + ports + `}`, "short-endpoint", "spec.endpoints[0].address"},
		"an admin port": {`{hosts: [a.example.com],
			resolution: DNS,
			ports: [{number: 15000, name: a, protocol: TLS}]}`, "istio-port", "spec.ports[0].number"},
		"an admin port as target": {`{hosts: [a.example.com],
			resolution: DNS,
			ports: [{number: 443, targetPort: 15021, name: a, protocol: TLS}]}`, "istio-port", "spec.ports[0].targetPort"},
		"a port at which sidecars listen": {`{hosts: [a.example.com],
			resolution: DNS,
			ports: [{number: 15001, targetPort: 443, name: a, protocol: TLS}]}`, "istio-port", "spec.ports[0].number"},
		"an endpoint's admin port": {`{hosts: [a.example.com],
			resolution: DNS,
			endpoints: [{address: b.example.com, ports: {tls: 15090}}],
			` + ports + `}`, "istio-port", "spec.endpoints[0].ports[tls]"},
		"raw TCP": {`{hosts: [db.example.com],
			resolution: DNS,
			ports: [{number: 5432, name: db, protocol: TCP}]}`, "raw-protocol", "spec.ports[0].protocol"},
		"two TLS ports": {`{hosts: [a.example.com],
			resolution: DNS,
			ports: [{number: 443, name: a, protocol: TLS},
				{number: 8443, name: b, protocol: HTTPS}]}`, "second-tls-port", "spec.ports[1]"},
		"CIDR with NONE": {`{hosts: [a.example.com],
			addresses: [192.0.2.0/24],
			resolution: NONE,
			` + ports + `}`, "cidr-address", "spec.addresses[0]"},
		"DYNAMIC_DNS": {`{hosts: [a.example.com],
			resolution: DYNAMIC_DNS,
			` + ports + `}`, "resolution", "spec.resolution"},
		"workloadSelector": {`{hosts: [a.example.com],
			resolution: STATIC,
			workloadSelector: {labels: {app: a}},
			` + ports + `}`, "workload-selector", "spec.workloadSelector"},
		"the gateway as endpoint": {`{hosts: [a.example.com],
			resolution: DNS,
			endpoints: [{address: ` + gatewayService + `}, {address: b.example.com}],
			` + ports + `}`, "gateway-endpoint", "spec.endpoints[0].address"},
		"a socket as endpoint": {`{hosts: [a.example.com],
			resolution: STATIC,
			endpoints: [{address: "unix:///run/x"}],
			` + ports + `}`, "unix-endpoint", "spec.endpoints[0].address"},
		"a name with STATIC": {`{hosts: [a.example.com],
			resolution: STATIC,
			endpoints: [{address: b.example.com}],
			` + ports + `}`, "static-endpoint", "spec.endpoints[0].address"},
		"STATIC without endpoints": {`{hosts: [a.example.com],
			resolution: STATIC,
			` + ports + `}`, "static-without-endpoints", "spec.resolution"},
		"NONE with endpoints": {`{hosts: [a.example.com],
			endpoints: [{address: 192.0.2.1}],
			` + ports + `}`, "endpoints-without-resolution", "spec.resolution"},
		"an endpoint's unknown port": {`{hosts: [a.example.com],
			resolution: DNS,
			endpoints: [{address: b.example.com, ports: {x: 1}}],
			` + ports + `}`, "endpoint-port", "spec.endpoints[0].ports"},
		"no ports": {`{hosts: [a.example.com], resolution: DNS}`, "no-ports", "spec.ports"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := hop.Seal(entry(t, tc.spec), mesh().Gateways[0], mesh())
			var refusals hop.Refusals
			require.ErrorAs(t, err, &refusals)
			var found []string
			for _, refusal := range refusals {
				found = append(found, refusal.Code+" "+refusal.Field)
				assert.NotEmpty(t, refusal.Fix)
				assert.NotEmpty(t, refusal.Message)
			}
			assert.Contains(t, found, tc.code+" "+tc.field)
		})
	}
}

// TestAHostOfAURLIsMendedAsTheFixSays: what people copy is an address of a browser.
func TestAHostOfAURLIsMendedAsTheFixSays(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]string{
		"https://API.example.com":          "write api.example.com: a host has no scheme, no port and no path",
		"https://api.example.com:8443/v1/": "write api.example.com: a host has no scheme, no port and no path",
		"api.example.com:443":              "write api.example.com: a host has no scheme, no port and no path",
		"api.example.com/v1":               "write api.example.com: a host has no scheme, no port and no path",
		"*.example.com:443":                "write *.example.com: a host has no scheme, no port and no path",
		"*example.com":                     "write a host such as api.example.com or *.example.com",
		"https://localhost:8080":           "write a host such as api.example.com or *.example.com",
		"https://192.0.2.7/v1":             "write a host such as api.example.com or *.example.com",
		"https://user@api.example.com":     "write a host such as api.example.com or *.example.com",
	} {
		_, err := hop.Seal(entry(t, `{hosts: ["`+host+`"], resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}`), mesh().Gateways[0], mesh())
		var refusals hop.Refusals
		require.ErrorAs(t, err, &refusals, host)
		require.Equal(t, []string{"bad-host"}, codes(err), host)
		assert.Equal(t, want, refusals[0].Fix, host)
	}
}

func TestEntryOfTheMeshIsLeft(t *testing.T) {
	t.Parallel()
	in := entry(t, `{hosts: [vm.internal.test],
		location: MESH_INTERNAL,
		resolution: STATIC,
		endpoints: [{address: 10.0.0.7}],
		ports: [{number: 5432, name: db, protocol: TCP}]}`)
	out, err := hop.Seal(in, mesh().Gateways[0], mesh())
	require.NoError(t, err)
	assert.Equal(t, in.Object, out.Object)
}

// TestRawTCPThatMutualTLSDoesNotCarry: each with a fix that says how it is written.
func TestRawTCPThatMutualTLSDoesNotCarry(t *testing.T) {
	t.Parallel()
	db := func(protocol string) string {
		return `ports: [{number: 5432, name: tcp-postgres, protocol: ` + protocol + `}]`
	}
	for name, tc := range map[string]struct{ spec, refusal, fix string }{
		"several hosts":                  {`{hosts: [a.test, b.test], resolution: DNS, ` + db("TCP") + `}`, "tcp-port-taken spec.ports[0].number", "write a ServiceEntry for each host"},
		"a protocol Istio does not know": {`{hosts: [a.test], resolution: DNS, ` + db("POSTGRES") + `}`, "raw-protocol spec.ports[0].protocol", "declare TCP"},
		"a protocol left out":            {`{hosts: [a.test], resolution: DNS, ports: [{number: 5432, name: tcp}]}`, "raw-protocol spec.ports[0].protocol", "declare TCP"},
		"UDP":                            {`{hosts: [a.test], resolution: DNS, ` + db("UDP") + `}`, "raw-protocol spec.ports[0].protocol", "remove the port"},
		"a range":                        {`{hosts: [a.test], resolution: NONE, addresses: [192.0.2.0/24], ` + db("TCP") + `}`, "cidr-address spec.addresses[0]", "or STATIC with the server's addresses in spec.endpoints"},
		"addresses under NONE":           {`{hosts: [a.test], addresses: [192.0.2.1, 192.0.2.2], ` + db("TCP") + `}`, "addresses-without-resolution spec.resolution", "set resolution STATIC"},
	} {
		m := mesh()
		_, err := hop.Seal(entry(t, tc.spec), m.Gateways[0].By(egress.MutualTLS), m)
		var refusals hop.Refusals
		require.ErrorAs(t, err, &refusals, name)
		require.Len(t, refusals, 1, name)
		assert.Equal(t, tc.refusal, refusals[0].Code+" "+refusals[0].Field, name)
		assert.Contains(t, refusals[0].Fix, tc.fix, name)
	}
	m := mesh()
	for _, protocol := range []string{"TCP", "tcp", "REDIS"} {
		_, err := hop.Seal(entry(t, `{hosts: [a.test], `+db(protocol)+`}`), m.Gateways[0].By(egress.MutualTLS), m)
		require.NoError(t, err, protocol)
	}
}

// TestASelectorIsLeftOutForSomethingElse: what the fix leads to has endpoints, or needs none.
func TestASelectorIsLeftOutForSomethingElse(t *testing.T) {
	t.Parallel()
	const spec = "{hosts: [a.example.com], workloadSelector: {labels: {app: a}}, ports: [{number: 80, name: http, protocol: HTTP}], resolution: "
	for rest, also := range map[string]bool{"STATIC}": true, "STATIC, endpoints: [{address: 192.0.2.1}]}": false, "DNS}": false} {
		_, err := hop.Seal(entry(t, spec+rest), mesh().Gateways[0], mesh())
		var refusals hop.Refusals
		require.ErrorAs(t, err, &refusals, rest)
		require.Equal(t, "workload-selector", refusals[0].Code, rest)
		assert.Equal(t, also, strings.Contains(refusals[0].Fix, "set resolution DNS or give spec.endpoints"), rest)
	}
}
