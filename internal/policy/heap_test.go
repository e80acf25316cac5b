package policy_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/cost"
)

// BenchmarkHeap puts policies in force, of the library and of Rego of their own, and reports what stays of each.
func BenchmarkHeap(b *testing.B) {
	for _, of := range []struct {
		name string
		spec func(i int) v1alpha1.EgressPolicySpec
	}{
		{"library", func(i int) v1alpha1.EgressPolicySpec {
			return allowing("p", 2+i%2).Spec
		}},
		{"own", func(i int) v1alpha1.EgressPolicySpec {
			return v1alpha1.EgressPolicySpec{Rego: fmt.Sprintf(`package own.p%d

import data.policies.lib.hosts
import data.policies.lib.result

# METADATA
# custom:
#   code: not-here
#   msg: 'host %%q is not of team %d: %%s'
deny contains result.of(rego.metadata.rule(), host.field, [host.host, hosts.listed({"a"})], []) if {
	some host in input.egress.hosts
	host.leaves
	not endswith(host.host, ".team-%d.example.com")
}
`, i, i, i)}
		}},
	} {
		b.Run(of.name, func(b *testing.B) {
			const count = 100
			for b.Loop() {
				e := libraryEngine(b)
				require.NoError(b, e.Set(egressPolicy("first", of.spec(0))))
				before := cost.Heap()
				for i := range count {
					require.NoError(b, e.Set(egressPolicy(fmt.Sprintf("p%d", i), of.spec(i))))
				}
				b.ReportMetric(float64(cost.Heap()-before)/count, "heap-B/policy")
				runtime.KeepAlive(e)
			}
		})
	}
}
