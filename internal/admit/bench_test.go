package admit_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/policy"
	"github.com/egress-governor/egress-governor/policies"
)

func BenchmarkMutate(b *testing.B) {
	g := handler(b, evaluator(silent))
	in := request("ServiceEntry", entryJSON(goodSpec))
	b.ReportAllocs()
	for b.Loop() {
		if response := g.Mutate(b.Context(), in); len(response.Patches) == 0 {
			b.Fatal(response)
		}
	}
}

// BenchmarkValidate measures the whole handler with policies that all match, each with 10,000 allowed hosts.
func BenchmarkValidate(b *testing.B) {
	hosts := make([]string, 10000)
	for i := range hosts {
		hosts[i] = fmt.Sprintf(`"host-%d.example.org"`, i)
	}
	hosts[5000] = `"*.example.com"`
	parameters := &apiextensionsv1.JSON{Raw: []byte(`{"hosts": [` + strings.Join(hosts, ",") + `]}`)}
	for _, count := range []int{1, 10, 100} {
		engine, err := policy.NewEngine(policies.Library())
		require.NoError(b, err)
		for i := range count {
			require.NoError(b, engine.Set(&v1alpha1.EgressPolicy{
				ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("p%d", i)},
				Spec:       v1alpha1.EgressPolicySpec{Policy: "allowed-hosts", Parameters: parameters},
			}))
		}
		g := handler(b, engine)
		in := request("ServiceEntry", sealedJSON())
		b.Run(fmt.Sprintf("policies=%d", count), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if response := g.Validate(b.Context(), in); !response.Allowed {
					b.Fatal(response.Result)
				}
			}
		})
	}
}
