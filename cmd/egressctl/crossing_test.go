package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clienttesting "k8s.io/client-go/testing"

	"github.com/egress-governor/egress-governor/internal/adopt"
	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/internal/registry"
)

// crossing is that of the bank.
func (h *hand) crossing() []adopt.Crossing {
	return []adopt.Crossing{{Namespace: "shop", Of: "shop", Ports: []hop.Crossed{
		{Gateway: h.mesh.Gateways[0], Host: "bank.example.com", Port: egress.Port{Number: 80, Protocol: "HTTP"}},
	}}}
}

// commanded returns a command, and what it says beside what it prints.
func commanded(t *testing.T) (*cobra.Command, *bytes.Buffer) {
	t.Helper()
	var said bytes.Buffer
	cmd := &cobra.Command{}
	cmd.SetContext(t.Context())
	cmd.SetErr(&said)
	return cmd, &said
}

func (h *hand) standing(t *testing.T) (out []string) {
	t.Helper()
	list, err := h.client.Resource(resources["EnvoyFilter"]).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	for _, each := range list.Items {
		out = append(out, each.GetNamespace()+"/"+each.GetName())
	}
	return out
}

// writes are the writes among what was done.
func (s *deeds) writes() []string {
	return slices.DeleteFunc(slices.Clone(s.done), func(of string) bool {
		return of == "turn" || strings.HasPrefix(of, "get ") || strings.HasPrefix(of, "list ")
	})
}

// TestTheyCrossWhileBothAreWritten: before the entry and after its rule, and nothing is left of it.
func TestTheyCrossWhileBothAreWritten(t *testing.T) {
	t.Parallel()
	stored := parsed(t, originated)
	h, did, on := watched(t, stored)
	seen := map[string]bool{}
	stands := func() bool {
		_, err := h.tracker().Get(resources["EnvoyFilter"], "shop", "egress-governor-crossing-shop")
		return err == nil
	}
	on("patch", "serviceentries", func(clienttesting.Action) (bool, runtime.Object, error) {
		seen["entry"] = stands()
		sealed := parsed(t, sealedBank)[0].Unstructured
		return true, sealed, h.tracker().Update(resources["ServiceEntry"], sealed, "shop")
	})
	on("patch", "destinationrules", func(clienttesting.Action) (bool, runtime.Object, error) {
		seen["rule"] = stands()
		out, err := h.followers.form(stored[2].Unstructured)(stored[2].Unstructured)
		require.NoError(t, err)
		out.SetResourceVersion("2")
		return true, out, nil
	})
	cmd, said := commanded(t)
	h.settle = time.Millisecond
	entry := adopt.Object{Object: stored[1], State: adopt.Held}
	of := adopt.Namespace{Name: "shop", Objects: []adopt.Object{entry}, Crossings: h.crossing()}
	require.NoError(t, h.cross(cmd, of.Crossings, false))
	require.NoError(t, h.turn(t.Context(), nil, nil))
	require.NoError(t, h.seal(t.Context(), entry.Unstructured))
	require.NoError(t, h.uncross(t.Context(), "shop"))
	assert.Equal(t, []string{"create envoyfilters", "patch serviceentries", "patch destinationrules", "update destinationrules", "delete envoyfilters"}, did.writes())
	assert.Equal(t, map[string]bool{"entry": true, "rule": true}, seen)
	assert.Empty(t, h.standing(t))
	assert.Empty(t, said.String())
}

// TestACrossingThatWasLeftGoes: of a run that was interrupted it is taken over by the next, and taken away by one that has nothing else to do;
// that of another namespace is left alone.
func TestACrossingThatWasLeftGoes(t *testing.T) {
	t.Parallel()
	h, did, _ := watched(t, parsed(t, originated))
	h.settle = time.Millisecond
	cmd, _ := commanded(t)
	other := adopt.Crossing{Namespace: "shop", Of: "bakery", Ports: h.crossing()[0].Ports}
	require.NoError(t, h.cross(cmd, append(h.crossing(), other), false))
	require.NoError(t, h.cross(cmd, h.crossing(), true))
	assert.Equal(t, []string{"create envoyfilters", "create envoyfilters", "create envoyfilters", "update envoyfilters"}, did.writes(), "it is written over")
	require.NoError(t, h.namespace(cmd, adopt.Namespace{Name: "shop"}))
	assert.Equal(t, []string{"shop/egress-governor-crossing-bakery"}, h.standing(t))
	require.NoError(t, h.uncross(t.Context()))
	assert.Empty(t, h.standing(t), "all, where none is named")
}

// TestWhoMayNotListCrossingsTakesHisAway: those of this run, by their names, and is told where he may not do that either.
func TestWhoMayNotListCrossingsTakesHisAway(t *testing.T) {
	t.Parallel()
	no := apierrors.NewForbidden(schema.GroupResource{Group: "networking.istio.io", Resource: "envoyfilters"}, "", errors.New("no"))
	denied := func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, no }
	other := adopt.Crossing{Namespace: "shop", Of: "bakery"}
	for _, mayDelete := range []bool{true, false} {
		h, did, on := watched(t, parsed(t, originated))
		h.settle = time.Millisecond
		on("list", "envoyfilters", denied)
		if !mayDelete {
			on("delete", "envoyfilters", denied)
		}
		cmd, _ := commanded(t)
		other.Ports = h.crossing()[0].Ports
		require.NoError(t, h.cross(cmd, append(h.crossing(), other), false))
		err := h.uncross(t.Context(), "shop")
		if !mayDelete {
			require.ErrorContains(t, err, "EnvoyFilter shop/egress-governor-crossing-shop")
			continue
		}
		require.NoError(t, err)
		assert.Equal(t, []string{"create envoyfilters", "create envoyfilters", "delete envoyfilters"}, did.writes(), "that of the other stays")
		require.NoError(t, h.uncross(t.Context()))
		require.NoError(t, h.uncross(t.Context()))
		assert.Equal(t, []string{"create envoyfilters", "create envoyfilters", "delete envoyfilters", "delete envoyfilters"}, did.writes())
	}
}

// TestWhatWasToldBeforeIsWaitedOut: an exit stands for an entry as it was told of that, not for a host that was added since.
func TestWhatWasToldBeforeIsWaitedOut(t *testing.T) {
	t.Parallel()
	for generation, stands := range map[int64]bool{1: true, 2: false} {
		stored := parsed(t, sealedBank)
		conditions, _, err := unstructured.NestedSlice(stored[0].Object, "status", "conditions")
		require.NoError(t, err)
		conditions[0].(map[string]any)["observedGeneration"] = int64(1)
		require.NoError(t, unstructured.SetNestedSlice(stored[0].Object, conditions, "status", "conditions"))
		stored[0].SetGeneration(generation)
		h, _, _ := watched(t, stored)
		h.timeout = time.Millisecond
		err = h.await(t.Context(), stored[0].Unstructured, registry.ReasonConfigured)
		if stands {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, "ExitReady tells of generation 1, and the entry is of generation 2")
	}
}

// TestExitsGoAfterCrossings: whoever goes back is called by the gateway until proxies know of all, and the exit stays as long.
func TestExitsGoAfterCrossings(t *testing.T) {
	t.Parallel()
	stored := parsed(t, originated)
	h, did, _ := watched(t, stored)
	h.settle = time.Millisecond
	cmd, _ := commanded(t)
	plan := []adopt.Return{{Object: stored[2], Intent: stored[2].Unstructured, Joined: true}, {Object: stored[1], Intent: stored[1].Unstructured}}
	require.NoError(t, h.unseal(cmd, plan, h.crossing(), true))
	assert.Equal(t, []string{
		"create envoyfilters", "update destinationrules", "update serviceentries", "update destinationrules", "delete envoyfilters", "patch serviceentries",
	}, did.writes())
	assert.Empty(t, h.standing(t))
}

// TestWhoMayNotWriteCrossingsIsTold, and goes on: it is what a cluster without EnvoyFilters, one who may not write them, and a policy that denies
// them have in common. Whatever else is wrong ends the work before anything is sealed.
func TestWhoMayNotWriteCrossingsIsTold(t *testing.T) {
	t.Parallel()
	of := schema.GroupResource{Group: "networking.istio.io", Resource: "envoyfilters"}
	for name, each := range map[string]struct {
		err   error
		fails bool
	}{
		"not his":  {apierrors.NewForbidden(of, "x", errors.New("no")), false},
		"unknown":  {apierrors.NewNotFound(of, "x"), false},
		"a policy": {errors.New(`admission webhook "validate.egress-governor.io" denied the request: no`), false},
		"away":     {apierrors.NewServiceUnavailable("away"), true},
	} {
		h, _, on := watched(t, parsed(t, originated))
		on("create", "envoyfilters", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, each.err })
		cmd, said := commanded(t)
		err := h.cross(cmd, h.crossing(), false)
		if each.fails {
			require.ErrorContains(t, err, "EnvoyFilter shop/egress-governor-crossing-shop", name)
			continue
		}
		require.NoError(t, err, name)
		assert.Contains(t, said.String(), "Note: EnvoyFilter shop/egress-governor-crossing-shop cannot be stored", name)
		assert.Contains(t, said.String(), "calls of namespace shop to bank.example.com:80 may fail", name)
	}
}

// TestAPlanNamesItsCrossings, there and back.
func TestAPlanNamesItsCrossings(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cluster.yaml")
	namespace, _, _ := strings.Cut(originated, "\n---")
	rule := originated[strings.LastIndex(originated, "---"):]
	for _, each := range []struct{ command, stored string }{{"adopt", originated}, {"unseal", namespace + "\n---" + sealedBank + rule}} {
		require.NoError(t, os.WriteFile(file, []byte(each.stored), 0o600))
		code, out, errs := run(t, "", each.command, "--cluster", file)
		assert.Equal(t, clean, code, errs)
		assert.Regexp(t, `shop +EnvoyFilter egress-governor-crossing-shop +bank.example.com:80 +for a while\n +has proxies call these at the gateway`, out, each.command)
		_, out, _ = run(t, "", each.command, "--cluster", file, "-o", "yaml")
		assert.Regexp(t, `crossings:\n *- hosts:\n *- bank.example.com:80\n *name: egress-governor-crossing-shop\n *namespace: shop\n`, out, each.command)
	}
}
