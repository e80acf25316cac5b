package integration

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/test/controlplane"
)

const gatewayHost = controlplane.GatewayService + "." + controlplane.GatewayNamespace + ".svc.cluster.local"

func endpoints(t *testing.T, entry *unstructured.Unstructured) []any {
	t.Helper()
	out, _, err := unstructured.NestedSlice(entry.Object, "spec", "endpoints")
	require.NoError(t, err)
	return out
}

func exits(t *testing.T, host string) (int, *networkingv1.VirtualService) {
	t.Helper()
	found, err := controlplane.ExitSet(t.Context(), shared.Client, controlplane.GatewayNamespace, host)
	require.NoError(t, err)
	vs := &networkingv1.VirtualService{}
	if len(found) == 2 {
		err := shared.Client.Get(t.Context(), client.ObjectKeyFromObject(found[1]), vs)
		require.NoError(t, client.IgnoreNotFound(err))
	}
	return len(found), vs
}

func TestEntryIsSealedThroughEveryServedVersion(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"v1", "v1beta1", "v1alpha3"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			in := entry(t, version, namespace(t, nil), "api", `{hosts: [`+version+`.example.com],
				resolution: DNS,
				ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]}`)
			require.NoError(t, shared.Client.Create(t.Context(), in))
			assert.Equal(t, []any{map[string]any{"address": gatewayHost, "ports": map[string]any{"http": int64(80), "tls": int64(443)}}}, endpoints(t, get(t, in)))
		})
	}
}

func TestEntryKeepsItsExitWhileItLives(t *testing.T) {
	t.Parallel()
	const host = "life.example.com"
	in := entry(t, "v1", namespace(t, nil), "api", `{hosts: [`+host+`],
		resolution: DNS,
		ports: [{number: 443, name: tls, protocol: TLS}]}`)
	require.NoError(t, shared.Client.Create(t.Context(), in))
	eventually(t, func() bool { return ready(get(t, in), "True") }, "ExitReady")
	found, vs := exits(t, host)
	require.Equal(t, 2, found)

	version := vs.ResourceVersion
	vs.Spec.Tls[0].Route[0].Destination.Host = "elsewhere.example.com"
	require.NoError(t, shared.Client.Update(t.Context(), vs))
	eventually(t, func() bool {
		_, vs := exits(t, host)
		return vs.ResourceVersion != version && vs.Spec.Tls[0].Route[0].Destination.Host == host
	}, "an edited exit is repaired")

	require.NoError(t, shared.Client.Delete(t.Context(), vs))
	eventually(t, func() bool { found, _ := exits(t, host); return found == 2 }, "a deleted exit comes back")

	require.NoError(t, shared.Client.Delete(t.Context(), in))
	eventually(t, func() bool { found, _ := exits(t, host); return found == 0 }, "the exit goes with the last entry")
}

func TestExitIsSharedUntilTheLastEntryGoes(t *testing.T) {
	t.Parallel()
	const host = "shared.example.com"
	spec := `{hosts: [` + host + `], resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}`
	first := entry(t, "v1", namespace(t, nil), "api", spec)
	second := entry(t, "v1", namespace(t, nil), "api", spec)
	require.NoError(t, shared.Client.Create(t.Context(), first))
	require.NoError(t, shared.Client.Create(t.Context(), second))
	eventually(t, func() bool { return ready(get(t, second), "True") }, "ExitReady")
	require.NoError(t, shared.Client.Delete(t.Context(), first))
	third := entry(t, "v1", namespace(t, nil), "marker", `{hosts: [marker.example.com],
		resolution: DNS,
		ports: [{number: 443, name: tls, protocol: TLS}]}`)
	require.NoError(t, shared.Client.Create(t.Context(), third))
	eventually(t, func() bool { return ready(get(t, third), "True") }, "the controller has gone on")
	found, _ := exits(t, host)
	assert.Equal(t, 2, found)
	require.NoError(t, shared.Client.Delete(t.Context(), second))
	eventually(t, func() bool { found, _ := exits(t, host); return found == 0 }, "the exit goes with the last entry")
}

func TestApplyAgainChangesNothing(t *testing.T) {
	t.Parallel()
	ns := namespace(t, nil)
	specs := map[string]string{
		"dns": `{hosts: [a.again.example.com], resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}`,
		"static": `{hosts: [b.again.example.com],
			resolution: STATIC,
			endpoints: [{address: 192.0.2.1}],
			ports: [{number: 443, name: tls, protocol: TLS}]}`,
		"none": `{hosts: [c.again.example.com], resolution: NONE, ports: [{number: 443, name: tls, protocol: TLS}]}`,
	}
	for name, spec := range specs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			apply := func(c client.Client) *unstructured.Unstructured {
				in := entry(t, "v1", ns, name, spec)
				require.NoError(t, c.Patch(t.Context(), in, client.Apply, client.FieldOwner("author"), client.ForceOwnership)) //nolint:staticcheck // an unstructured apply
				return in
			}
			first := apply(shared.Client)
			eventually(t, func() bool { return ready(get(t, first), "True") }, "ExitReady")
			before := get(t, first)
			c, heard := warned(t)
			apply(c)
			assert.Equal(t, before.GetResourceVersion(), get(t, first).GetResourceVersion())
			assert.Empty(t, heard.texts, "an apply that changes nothing is silent")
		})
	}
}

func TestDryRunAnswersAsARealRun(t *testing.T) {
	t.Parallel()
	ns := namespace(t, nil)
	spec := `{hosts: [dry.example.com], resolution: NONE, ports: [{number: 443, name: tls, protocol: TLS}]}`
	create := func(options ...client.CreateOption) (any, []string) {
		c, heard := warned(t)
		in := entry(t, "v1", ns, "api", spec)
		require.NoError(t, c.Create(t.Context(), in, options...))
		return in.Object["spec"], heard.texts
	}
	drySpec, dryWarnings := create(client.DryRunAll)
	var list unstructured.UnstructuredList
	list.SetGroupVersionKind(entry(t, "v1", ns, "x", "{}").GroupVersionKind())
	require.NoError(t, shared.Client.List(t.Context(), &list, client.InNamespace(ns)))
	require.Empty(t, list.Items, "a dry run stores nothing")
	realSpec, realWarnings := create()
	assert.Equal(t, realSpec, drySpec)
	assert.Equal(t, realWarnings, dryWarnings)
	assert.Len(t, realWarnings, 3, "sealed, seen by its own namespace, and NONE explained")
}

func TestPatchAndReplaceAreJudgedAsCreate(t *testing.T) {
	t.Parallel()
	in := entry(t, "v1", namespace(t, nil), "api", `{hosts: [patched.example.com],
		resolution: DNS,
		ports: [{number: 443, name: tls, protocol: TLS}]}`)
	require.NoError(t, shared.Client.Create(t.Context(), in))
	patch := []byte(`{"spec":{"endpoints":[{"address":"203.0.113.9"}],"resolution":"STATIC"}}`)
	require.NoError(t, shared.Client.Patch(t.Context(), get(t, in), client.RawPatch(types.MergePatchType, patch)))
	stored := get(t, in)
	assert.Equal(t, gatewayHost, endpoints(t, stored)[0].(map[string]any)["address"])
	assert.Contains(t, stored.GetAnnotations()[hop.IntentAnnotation], "203.0.113.9")
	for name, patch := range map[string]string{
		"raw TCP":  `[{"op":"replace","path":"/spec/ports/0/protocol","value":"TCP"}]`,
		"wildcard": `[{"op":"replace","path":"/spec/hosts/0","value":"*.example.org"},{"op":"replace","path":"/spec/resolution","value":"NONE"}, {"op":"remove","path":"/metadata/annotations"}]`,
	} {
		err := shared.Client.Patch(t.Context(), get(t, in), client.RawPatch(types.JSONPatchType, []byte(patch)))
		require.Error(t, err, name)
		assert.True(t, apierrors.IsInvalid(err), "%s: %v", name, err)
	}
}

func TestGeneratedNamesAreGoverned(t *testing.T) {
	t.Parallel()
	in := entry(t, "v1", namespace(t, nil), "x", `{hosts: [generated.example.com],
		resolution: DNS,
		ports: [{number: 443, name: tls, protocol: TLS}]}`)
	in.SetName("")
	in.SetGenerateName("api-")
	require.NoError(t, shared.Client.Create(t.Context(), in))
	eventually(t, func() bool { return ready(get(t, in), "True") }, "ExitReady")
}

func TestExemptNamespacesAreLeftAlone(t *testing.T) {
	t.Parallel()
	for _, ns := range []string{namespace(t, map[string]string{"egress-governor.io/exempt": "true"}), controlplane.GatewayNamespace, "kube-system"} {
		in := entry(t, "v1", ns, "exempt", `{hosts: [exempt.example.com],
			resolution: DNS,
			ports: [{number: 5432, name: db, protocol: TCP}]}`)
		require.NoError(t, shared.Client.Create(t.Context(), in), ns)
		assert.Empty(t, endpoints(t, get(t, in)), ns)
		require.NoError(t, shared.Client.Delete(t.Context(), in))
	}
}

func TestHostDefinedOtherwiseIsRefused(t *testing.T) {
	t.Parallel()
	owner := entry(t, "v1", namespace(t, nil), "owner", `{hosts: [owned.example.com],
		resolution: DNS,
		ports: [{number: 443, name: tls, protocol: TLS}]}`)
	require.NoError(t, shared.Client.Create(t.Context(), owner))
	eventually(t, func() bool { return ready(get(t, owner), "True") }, "ExitReady")
	other := entry(t, "v1", namespace(t, nil), "other", `{hosts: [Owned.example.com.],
		resolution: STATIC,
		endpoints: [{address: 203.0.113.7}],
		ports: [{number: 443, name: tls, protocol: TLS}]}`)
	err := shared.Client.Create(t.Context(), other)
	require.Error(t, err)
	assert.Equal(t, int32(422), code(err))
	assert.Contains(t, err.Error(), "spec.hosts[0]")
	assert.Contains(t, err.Error(), owner.GetNamespace()+"/owner")
}

func code(err error) int32 {
	var status apierrors.APIStatus
	if s, ok := err.(apierrors.APIStatus); ok {
		status = s
		return status.Status().Code
	}
	return 0
}

func TestForgedIntentIsJudged(t *testing.T) {
	t.Parallel()
	in := entry(t, "v1", namespace(t, nil), "forged", `{hosts: [forged.example.com],
		resolution: DNS,
		endpoints: [{address: `+gatewayHost+`}],
		ports: [{number: 443, name: tls, protocol: TLS}]}`)
	forged, err := json.Marshal(map[string]any{"resolution": "STATIC", "endpoints": []any{map[string]any{"address": gatewayHost}}})
	require.NoError(t, err)
	in.SetAnnotations(map[string]string{hop.IntentAnnotation: string(forged)})
	err = shared.Client.Create(t.Context(), in)
	require.Error(t, err)
	assert.Contains(t, err.Error(), "gateway-endpoint")
}

// TestARuleComesChangesAndGoes: the exit has what it says, in whichever order, and forgets it with it.
func TestARuleComesChangesAndGoes(t *testing.T) {
	t.Parallel()
	const host = "ruled.example.com"
	ns := namespace(t, nil)
	rule := object(t, ns, "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: r}\nspec: {host: "+host+", trafficPolicy: {tls: {mode: SIMPLE}}}")
	require.NoError(t, shared.Client.Create(t.Context(), rule))
	in := entry(t, "v1", ns, "e", "{hosts: ["+host+"], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]}")
	require.NoError(t, shared.Client.Create(t.Context(), in))
	sni := func() string {
		objects, err := controlplane.ExitSet(t.Context(), shared.Client, controlplane.GatewayNamespace, host)
		require.NoError(t, err)
		for _, o := range objects {
			if o.GetKind() == "DestinationRule" {
				levels, _, _ := unstructured.NestedSlice(o.Object, "spec", "trafficPolicy", "portLevelSettings")
				sni, _, _ := unstructured.NestedString(levels[0].(map[string]any), "tls", "sni")
				return "encrypted " + sni
			}
		}
		return "in clear"
	}
	mode := func() (out string) {
		out, _, _ = unstructured.NestedString(get(t, rule).Object, "spec", "trafficPolicy", "tls", "mode")
		return out
	}
	eventually(t, func() bool { return sni() == "encrypted " && mode() == "" && ready(get(t, in), "True") }, "the entry comes")
	require.NoError(t, shared.Client.Patch(t.Context(), rule.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(`{"spec":{"trafficPolicy":{"tls":{"sni":"a.example.com"}}}}`))))
	eventually(t, func() bool { return sni() == "encrypted a.example.com" && mode() == "" }, "the rule changes")
	require.NoError(t, shared.Client.Delete(t.Context(), in))
	eventually(t, func() bool { return mode() == "SIMPLE" }, "the entry goes, and the rule is as its author wrote it")
	require.NoError(t, shared.Client.Create(t.Context(), entry(t, "v1", ns, "e", "{hosts: ["+host+"], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]}")))
	eventually(t, func() bool { return sni() == "encrypted a.example.com" && mode() == "" }, "it comes again")
	require.NoError(t, shared.Client.Patch(t.Context(), rule.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(`{"spec":{"trafficPolicy":{"tls":{"mode":"DISABLE"}}}}`))))
	eventually(t, func() bool { return sni() == "in clear" }, "the author switches it off")
	require.NoError(t, shared.Client.Delete(t.Context(), rule))
	eventually(t, func() bool { return sni() == "in clear" && ready(get(t, in), "True") }, "the rule goes")
}
