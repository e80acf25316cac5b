package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/cost"
	"github.com/egress-governor/egress-governor/internal/policy"
	"github.com/egress-governor/egress-governor/policies"
)

// allowing returns an EgressPolicy of the library that allows so many hosts, among them that of allowedReview.
func allowing(name string, hosts int) *v1alpha1.EgressPolicy {
	list := make([]string, hosts)
	for i := range list {
		list[i] = fmt.Sprintf(`"host-%d.example.com"`, i)
	}
	return egressPolicy(name, v1alpha1.EgressPolicySpec{Policy: "allowed-hosts", Parameters: parameters(`{"hosts": [` + strings.Join(list, ",") + `]}`)})
}

// allowedReview is an entry of one host that those policies allow, as package review hands it over.
func allowedReview() policy.Review {
	out := review("x")
	labels := map[string]any{"team": "a"}
	object := map[string]any{
		"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "metadata": map[string]any{"name": "x", "namespace": "own"},
		"spec": map[string]any{"hosts": []any{"host-7.example.com"}, "resolution": "DNS", "ports": []any{map[string]any{"number": int64(443), "name": "tls", "protocol": "TLS"}}},
	}
	host := map[string]any{
		"host": "host-7.example.com", "canonical": "host-7.example.com", "stored": "host-7.example.com", "wildcard": false, "ip": false, "inMesh": false, "leaves": true,
		"endpoint": false, "field": "spec.hosts[0]", "patterns": []any{"host-7.example.com", "*.example.com", "*.com", "*"},
	}
	out.Document = map[string]any{
		"apiVersion": "input.egress-governor.io/v1alpha1", "operation": "CREATE", "kind": "ServiceEntry", "name": "x", "dryRun": false, "time": "2026-01-02T03:04:05Z",
		"namespace": map[string]any{"name": "own", "labels": labels, "annotations": map[string]any{}}, "user": map[string]any{"name": "jane", "groups": []any{"system:authenticated"}},
		"object": object, "oldObject": nil,
		"egress": map[string]any{
			"clusterDomain": "cluster.local", "gateway": "default", "internal": false, "allClients": false, "clients": []any{map[string]any{"namespace": "own"}},
			"hosts": []any{host}, "routes": []any{map[string]any{"host": "host-7.example.com", "port": int64(443), "protocol": "TLS", "from": "mesh", "via": "gateway", "gateway": "default", "field": "spec.ports[0]"}},
			"conflicts": []any{}, "onGateways": []any{}, "onGatewaysForOthers": []any{},
		},
	}
	return out
}

func evaluates(b *testing.B, e *policy.Engine) {
	b.Helper()
	in := allowedReview()
	cost.Loop(b, func() {
		if decision := e.Evaluate(b.Context(), in); len(decision.Denied)+len(decision.Failed) != 0 {
			b.Fatal(decision)
		}
	})
}

func libraryEngine(b *testing.B) *policy.Engine {
	b.Helper()
	e, err := policy.NewEngine(policies.Library())
	require.NoError(b, err)
	return e
}

// BenchmarkPolicies evaluates by policies that all match, and by ten that do of more that are in force.
func BenchmarkPolicies(b *testing.B) {
	for _, of := range []struct{ matching, installed int }{{1, 1}, {10, 10}, {100, 100}, {10, 100}, {10, 1000}} {
		b.Run(fmt.Sprintf("matching=%d/installed=%d", of.matching, of.installed), func(b *testing.B) {
			e := libraryEngine(b)
			for i := range of.installed {
				one := allowing(fmt.Sprintf("p%d", i), 10)
				if i >= of.matching {
					one.Spec.Match.Namespaces = []v1alpha1.NamespacePattern{v1alpha1.NamespacePattern(fmt.Sprintf("other-%d", i))}
				}
				require.NoError(b, e.Set(one))
			}
			evaluates(b, e)
		})
	}
}

// BenchmarkParameters evaluates by ten policies that allow so many hosts each.
func BenchmarkParameters(b *testing.B) {
	for _, hosts := range []int{10, 1000, 10000} {
		b.Run(fmt.Sprintf("hosts=%d", hosts), func(b *testing.B) {
			e := libraryEngine(b)
			for i := range 10 {
				require.NoError(b, e.Set(allowing(fmt.Sprintf("p%d", i), hosts)))
			}
			evaluates(b, e)
		})
	}
}

// BenchmarkBaseline evaluates by the policies that are in force by default, and by ten besides.
func BenchmarkBaseline(b *testing.B) {
	for _, more := range []int{0, 10} {
		b.Run(fmt.Sprintf("more=%d", more), func(b *testing.B) {
			e := libraryEngine(b)
			standards, err := e.Baseline(policy.Baseline{Enforcement: v1alpha1.Deny})
			require.NoError(b, err)
			for i := range more {
				standards = append(standards, allowing(fmt.Sprintf("p%d", i), 10))
			}
			for _, one := range standards {
				require.NoError(b, e.Set(one))
			}
			evaluates(b, e)
		})
	}
}

// BenchmarkSet puts a policy of the library in force.
func BenchmarkSet(b *testing.B) {
	e := libraryEngine(b)
	cost.Loop(b, func() { require.NoError(b, e.Set(allowing("p", 10))) })
}
