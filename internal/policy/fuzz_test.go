package policy_test

import (
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/policy"
	decision "github.com/egress-governor/egress-governor/internal/review"
	"github.com/egress-governor/egress-governor/policies"
)

// objects are specs of each kind, in which HOST and ADDRESS stand for names of whatever sort.
var objects = map[v1alpha1.Kind]string{
	"DestinationRule":  `{"host":HOST,"trafficPolicy":{"tunnel":{"targetHost":ADDRESS,"targetPort":443}}}`,
	"EnvoyFilter":      `{"configPatches":[{"applyTo":"CLUSTER"}]}`,
	"GRPCRoute":        `{"parentRefs":[{"name":"g"}],"hostnames":[HOST],"rules":[{"backendRefs":[{"group":"networking.istio.io","kind":"Hostname","name":HOST,"port":443}]}]}`,
	"Gateway":          `{"selector":{"istio":"egressgateway"},"servers":[{"port":{"number":443,"name":"tls","protocol":"TLS"},"hosts":[HOST]}]}`,
	"HTTPRoute":        `{"parentRefs":[{"name":"g"}],"hostnames":[HOST],"rules":[{"backendRefs":[{"group":"networking.istio.io","kind":"Hostname","name":HOST,"port":80}]}]}`,
	"ProxyConfig":      `{"concurrency":1}`,
	"ServiceEntry":     `{"hosts":[HOST],"addresses":[ADDRESS],"resolution":"STATIC","ports":[{"number":443,"name":"tls","protocol":"TLS"}],"endpoints":[{"address":ADDRESS}],"exportTo":["*"],"subjectAltNames":[HOST]}`,
	"Sidecar":          `{"outboundTrafficPolicy":{"mode":"ALLOW_ANY"},"egress":[{"captureMode":"NONE","hosts":["*/*"]}]}`,
	"TCPRoute":         `{"parentRefs":[{"name":"g"}],"rules":[{"backendRefs":[{"group":"networking.istio.io","kind":"Hostname","name":HOST,"port":443}]}]}`,
	"TLSRoute":         `{"parentRefs":[{"name":"g"}],"hostnames":[HOST],"rules":[{"backendRefs":[{"group":"networking.istio.io","kind":"Hostname","name":HOST,"port":443}]}]}`,
	"TrafficExtension": `{"wasm":{"url":"oci://x"}}`,
	"VirtualService":   `{"hosts":[HOST],"http":[{"rewrite":{"authority":HOST},"route":[{"destination":{"host":HOST}}],"mirror":{"host":ADDRESS}}]}`,
	"WasmPlugin":       `{"url":"oci://x"}`,
	"WorkloadEntry":    `{"address":ADDRESS}`,
	"WorkloadGroup":    `{"template":{}}`,
}

// FuzzParameters: parameters either do not fit, which is said at apply, or a policy of the library answers by them whatever an
// object names; those that list hosts deny just what the list says.
func FuzzParameters(f *testing.F) {
	for name, file := range folders(f) {
		raw, err := os.ReadFile(filepath.Join(filepath.Dir(file), "example.yaml"))
		require.NoError(f, err)
		example := &v1alpha1.EgressPolicy{}
		require.NoError(f, yaml.UnmarshalStrict(raw, example))
		given := "{}"
		if example.Spec.Parameters != nil {
			given = string(example.Spec.Parameters.Raw)
		}
		for _, address := range []string{"192.0.2.1", "2001:db8::1", "10.0.0.0/8", "db.example.com", "1.2.3", "::ffff:1.2.3.4", "unix:///x"} {
			f.Add(name, given, "api.example.com", address)
		}
		for _, odd := range []string{"null", "[]", "{}", `{"hosts":[]}`, `{"hosts":["*"]}`, `{"hosts":["*.example.com","192.0.2.0/99","::/200","f/1"]}`, `{"hosts":["1.2.3.4/8"]}`} {
			f.Add(name, odd, "*.example.com", "192.0.2.1")
		}
	}
	library := policies.Library()
	f.Fuzz(func(t *testing.T, name, given, host, address string) {
		e, err := policy.NewEngine(library)
		require.NoError(t, err)
		if err := e.Set(egressPolicy("p", v1alpha1.EgressPolicySpec{Policy: name, Parameters: &apiextensionsv1.JSON{Raw: []byte(given)}})); err != nil {
			require.NotEmpty(t, err.Error())
			return
		}
		r := &decision.Reviewer{Mesh: egresstest.Mesh(), View: egresstest.NewCluster(), Policies: e}
		for _, kind := range e.Kinds() {
			outcome, err := r.Review(t.Context(), decision.Request{
				Operation: decision.Create, Object: written(t, kind, host, address), Namespace: decision.Namespace{Name: "payments"}, Time: time.Unix(1e9, 0),
			})
			require.NoError(t, err)
			require.Empty(t, outcome.Of(decision.Failed), "parameters that fit are evaluated")
			if want, known := listedSays(name, given, outcome.Facts); known {
				require.Equal(t, want, deniedHosts(outcome), "%s by %s", kind, given)
			}
		}
	})
}

func written(t *testing.T, kind v1alpha1.Kind, host, address string) *unstructured.Unstructured {
	t.Helper()
	quoted := func(text string) string {
		raw, err := utiljson.Marshal(text)
		require.NoError(t, err)
		return string(raw)
	}
	resource, _ := decision.ResourceOf(string(kind))
	out := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": resource.Group + "/" + resource.Versions[0], "kind": string(kind), "metadata": map[string]any{"name": "x", "namespace": "payments"},
	}}
	var spec any
	require.NoError(t, utiljson.Unmarshal([]byte(strings.NewReplacer("HOST", quoted(host), "ADDRESS", quoted(address)).Replace(objects[kind])), &spec))
	out.Object["spec"] = spec
	return out
}

// deniedHosts are the fields that the one policy denied.
func deniedHosts(outcome *decision.Outcome) map[string]bool {
	out := map[string]bool{}
	for _, finding := range outcome.Of(decision.Denied) {
		out[finding.Field] = true
	}
	return out
}

// listedSays returns the fields of hosts that a list of hosts has denied, as anybody would read it; false for policies that
// go by no such list.
func listedSays(name, given string, facts egress.Facts) (map[string]bool, bool) {
	var parameters struct {
		Hosts []string `json:"hosts"`
	}
	if utiljson.Unmarshal([]byte(given), &parameters) != nil || name != "allowed-hosts" {
		return nil, false
	}
	out := map[string]bool{}
	for _, host := range facts.Hosts {
		covers := func(pattern string) bool {
			if egress.IsIP(host.Canonical) {
				return pattern == "*" || pattern == host.Canonical || contains(pattern, host.Canonical)
			}
			return egress.Covers(pattern, host.Canonical)
		}
		if host.Leaves && !slices.ContainsFunc(parameters.Hosts, covers) {
			out[host.Path.String()] = true
		}
	}
	return out, true
}

// contains says whether all of an address or a range lies within a range.
func contains(wide, narrow string) bool {
	outer, err := netip.ParsePrefix(wide)
	if err != nil {
		return false
	}
	if inner, err := netip.ParsePrefix(narrow); err == nil {
		return outer.Bits() <= inner.Bits() && outer.Contains(inner.Addr())
	}
	address, err := netip.ParseAddr(narrow)
	return err == nil && outer.Contains(address)
}

// TestEveryKindIsFuzzed: a kind that is governed has an object.
func TestEveryKindIsFuzzed(t *testing.T) {
	t.Parallel()
	require.ElementsMatch(t, v1alpha1.Kinds, slices.Collect(maps.Keys(objects)))
}
