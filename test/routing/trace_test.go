package routing

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/trace"
	"github.com/egress-governor/egress-governor/test/proof"
)

// untraced returns in what egressctl trace differs from where the generator has a call end. Trace knows of no caller past its
// sidecar, and of no ingress gateway as one: these calls it is not asked about.
func (s *setting) untraced(t *testing.T, want proof.Call, legs []leg) []string {
	t.Helper()
	if want.Dials != "" || want.Ingress != nil {
		return nil
	}
	mode, _, _ := unstructured.NestedString(s.of.Mesh, "outboundTrafficPolicy", "mode")
	cluster, err := trace.New(s.Mesh, trace.Settings{RegistryOnly: mode != "ALLOW_ANY", DNSCapture: s.Captures}, s.Objects)
	require.NoError(t, err)
	call, err := trace.ParseCall(want.From, want.To)
	require.NoError(t, err)
	call.Labels = want.Labels
	var says, is []string
	for _, way := range cluster.Of(call).Ways {
		assert.NotEmpty(t, way.Why)
		// What no route takes has no cluster, so the walker does not see it.
		if !way.Rest() {
			says = append(says, ended(proof.Ends(way.Ends), way.Gateway, way.To, way.Encrypted))
		}
	}
	for _, leg := range legs {
		is = append(is, ended(leg.ends, leg.by, leg.to, leg.encrypted))
	}
	for _, all := range []*[]string{&says, &is} {
		slices.Sort(*all)
		*all = slices.Compact(*all)
	}
	if slices.Equal(says, is) {
		return nil
	}
	return []string{fmt.Sprintf("trace says %v, and it is %v", says, is)}
}

// ended is how a way ends, as far as both know.
func ended(ends proof.Ends, by string, to []string, encrypted bool) string {
	switch ends {
	case proof.Blocked:
		return strings.TrimSpace("Blocked " + by)
	case proof.InMesh:
		return "Mesh"
	}
	to = slices.Clone(to)
	slices.Sort(to)
	out := fmt.Sprintf("%s %s %v", ends, by, slices.Compact(to))
	if encrypted {
		out += " encrypted"
	}
	return out
}

// TestTraceCanDiffer: that trace agrees is worth something as long as a cluster that it has otherwise is seen.
func TestTraceCanDiffer(t *testing.T) {
	all, err := proof.Load("cases/protocols/http-and-tls")
	require.NoError(t, err)
	for _, by := range all[0].By() {
		stored, err := all[0].Store(t.Context(), by)
		require.NoError(t, err)
		s := newSetting(t, all[0], stored)
		call := all[0].Calls[0]
		legs := s.follow(t, call)
		require.Empty(t, s.untraced(t, call, legs))
		whole := s.Objects
		for _, kind := range []string{"ServiceEntry", "VirtualService", "Gateway"} {
			s.Objects = slices.DeleteFunc(slices.Clone(whole), func(object *unstructured.Unstructured) bool {
				return object.GetKind() == kind && object.GetNamespace() == "istio-system"
			})
			assert.NotEmpty(t, s.untraced(t, call, legs), "without every %s of the gateway, by %s", kind, by)
		}
	}
}

// TestWhoShowsNoCertificateIsNotLetIn: that a call by mutual TLS ends at the gateway is worth something as long as one is seen to fail whose
// proxy takes the gateway for what it is, and shows nothing.
func TestWhoShowsNoCertificateIsNotLetIn(t *testing.T) {
	all, err := proof.Load("cases/encryption/by-target-port")
	require.NoError(t, err)
	stored, err := all[0].Store(t.Context(), "MutualTLS")
	require.NoError(t, err)
	changed := false
	for _, object := range stored.Objects {
		if object.GetKind() == "DestinationRule" && object.GetNamespace() == "app-a" {
			changed = true
			require.NoError(t, unstructured.SetNestedMap(object.Object, map[string]any{"tls": map[string]any{"mode": "SIMPLE"}}, "spec", "trafficPolicy"))
		}
	}
	require.True(t, changed)
	s := newSetting(t, all[0], stored)
	legs := s.follow(t, all[0].Calls[0])
	require.Len(t, legs, 1)
	assert.Equal(t, proof.Blocked, legs[0].ends, legs[0].path)
	assert.Empty(t, s.untraced(t, all[0].Calls[0], legs))
}
