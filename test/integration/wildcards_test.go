package integration

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/test/controlplane"
)

// TestWildcardsWithoutAServingHost: refused by a gateway that resolves none; by others stored sealed, with an exit that stands
// as it was written, that nobody else changes, and that goes with the entry.
func TestWildcardsWithoutAServingHost(t *testing.T) {
	guarded(t)
	spec := func(host, resolution string) string {
		return fmt.Sprintf(`{hosts: ["%s"], %sports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]}`, host, resolution)
	}
	err := shared.Client.Create(t.Context(), entry(t, "v1", namespace(t, nil), "wild", spec("*.none.wild.test", "resolution: DYNAMIC_DNS, ")))
	require.ErrorContains(t, err, `wildcard host "*.none.wild.test" has no serving host`)
	require.ErrorContains(t, err, "(bare-wildcard)")
	require.ErrorContains(t, err, "wildcards: Resolve")
	for label, gateway := range map[string]string{"pci": controlplane.GatewayNamespace, "vault": vaultNamespace} {
		ns := namespace(t, map[string]string{"egress": label})
		require.ErrorContains(t, shared.Client.Create(t.Context(), entry(t, "v1", ns, "wide", spec("*.co.uk", ""))), "stands for names that anybody can register")
		for name, resolution := range map[string]string{"left-out": "", "none": "resolution: NONE, ", "dns": "resolution: DNS, ", "dynamic": "resolution: DYNAMIC_DNS, "} {
			t.Run(label+"/"+name, func(t *testing.T) {
				host := "*." + name + "." + label + ".wild.test"
				in := entry(t, "v1", ns, name, spec(host, resolution))
				require.NoError(t, shared.Client.Create(t.Context(), in.DeepCopy()))
				eventually(t, func() bool { return ready(get(t, in), "True") }, "ExitReady")
				endpoints, _, _ := unstructured.NestedSlice(get(t, in).Object, "spec", "endpoints")
				require.Len(t, endpoints, 1)

				set, err := controlplane.ExitSet(t.Context(), shared.Client, gateway, host)
				require.NoError(t, err)
				filter := set[1]
				require.Equal(t, "EnvoyFilter", filter.GetKind())
				patches, _, _ := unstructured.NestedSlice(filter.Object, "spec", "configPatches")
				assert.Len(t, patches, map[string]int{"pci": 3, "vault": 4}[label])

				c, _ := author(t)
				const field = "metadata.labels[app.kubernetes.io/managed-by]"
				patch := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"configPatches":[]}}`))
				caught(t, c.Patch(t.Context(), filter.DeepCopy(), patch), "exit-sets", field)
				caught(t, c.Delete(t.Context(), filter.DeepCopy()), "exit-sets", field)
				require.NoError(t, shared.Client.Delete(t.Context(), filter.DeepCopy()), "the administrator may")
				eventually(t, func() bool {
					again, err := controlplane.ExitSet(t.Context(), shared.Client, gateway, host)
					return err == nil && len(again) == len(set) && again[1].GetUID() != filter.GetUID()
				}, "what was deleted is made again")

				touched := get(t, in)
				touched.SetLabels(map[string]string{"touched": "yes"})
				before, err := controlplane.ExitSet(t.Context(), shared.Client, gateway, host)
				require.NoError(t, err)
				require.NoError(t, shared.Client.Update(t.Context(), touched))
				other := entry(t, "v1", ns, name+"-after", spec("*."+name+".after."+label+".wild.test", resolution))
				require.NoError(t, shared.Client.Create(t.Context(), other))
				eventually(t, func() bool { return ready(get(t, other), "True") }, "ExitReady of one that came after")
				after, err := controlplane.ExitSet(t.Context(), shared.Client, gateway, host)
				require.NoError(t, err)
				for i := range before {
					assert.Equal(t, before[i].GetResourceVersion(), after[i].GetResourceVersion(), "%s is written once", before[i].GetKind())
				}

				require.NoError(t, shared.Client.Delete(t.Context(), in))
				require.NoError(t, shared.Client.Delete(t.Context(), other))
				eventually(t, func() bool {
					left, err := controlplane.ExitSet(t.Context(), shared.Client, gateway, host)
					return err == nil && len(left) == 0
				}, "the exit goes with the entry")
			})
		}
	}
}
