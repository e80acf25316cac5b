package integration

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestATerminatingObjectIsDecidedOn: whoever holds a deleted object by a finalizer still writes what Istio goes by. It
// may lose its finalizers, even where policy has come to forbid it, and nothing else.
func TestATerminatingObjectIsDecidedOn(t *testing.T) {
	t.Parallel()
	const label = "terminating"
	policy, err := policyFor(t, label, "  policy: allowed-hosts\n  parameters: {hosts: [good.example.com]}\n")
	require.NoError(t, err)
	in := entry(t, "v1", namespace(t, map[string]string{"test": label}), "held", strings.ReplaceAll(hostSpec, "HOST", "good.example.com"))
	in.SetFinalizers([]string{"tenant.example/hold"})
	require.NoError(t, shared.Client.Create(t.Context(), in))
	require.NoError(t, shared.Client.Delete(t.Context(), in))
	for name, patch := range map[string]string{
		"another host":        `{"spec":{"hosts":["evil.test"],"endpoints":null},"metadata":{"annotations":{"egress-governor.io/intent":null}}}`,
		"the same, by seal":   `{"spec":{"hosts":["evil.test"]}}`,
		"out of the mesh":     `{"spec":{"hosts":["evil.test"],"location":"MESH_INTERNAL","endpoints":null}}`,
		"with finalizers too": `{"spec":{"hosts":["evil.test"]},"metadata":{"finalizers":null}}`,
	} {
		err := shared.Client.Patch(t.Context(), in.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(patch)))
		assert.Equal(t, int32(403), code(err), "%s: %v", name, err)
	}
	require.NoError(t, shared.Client.Patch(t.Context(), policy,
		client.RawPatch(types.MergePatchType, []byte(`{"spec":{"parameters":{"hosts":["other.example.com"]}}}`))))
	eventually(t, func() bool {
		err := shared.Client.Patch(t.Context(), in.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"a":"b"}}}`)))
		return code(err) == 403
	}, "the policy forbids what is stored")
	require.NoError(t, shared.Client.Patch(t.Context(), in.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))))
	assert.True(t, apierrors.IsNotFound(shared.Client.Get(t.Context(), client.ObjectKeyFromObject(in), in)))
}
