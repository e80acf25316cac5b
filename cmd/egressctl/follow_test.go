package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/util/flowcontrol"

	"github.com/egress-governor/egress-governor/internal/adopt"
	"github.com/egress-governor/egress-governor/internal/config"
	"github.com/egress-governor/egress-governor/internal/manifest"
)

// originated is a namespace whose app speaks HTTP, and whose proxies open TLS to the host.
const originated = `
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: bank, namespace: shop, uid: a, annotations: {egress-governor.io/exit: Held}}
spec: {hosts: [bank.example.com], exportTo: ["."], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP, targetPort: 443}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: bank, namespace: shop, uid: b, resourceVersion: "1", managedFields: [{manager: kubectl, operation: Apply, apiVersion: networking.istio.io/v1}]}
spec: {host: bank.example.com, exportTo: ["."], trafficPolicy: {tls: {mode: SIMPLE}}}
`

// sealedBank is its entry once it is sealed.
const sealedBank = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata:
  name: bank
  namespace: shop
  uid: a
  annotations:
    egress-governor.io/intent: '[{"now":[{"address":"istio-egressgateway.istio-system.svc.cluster.local","ports":{"http":80}}],"paths":["spec.endpoints"]}]'
spec: {hosts: [bank.example.com], exportTo: ["."], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP, targetPort: 443}], endpoints: [{address: istio-egressgateway.istio-system.svc.cluster.local, ports: {http: 80}}]}
status: {conditions: [{type: ExitReady, status: "True", reason: ExitConfigured, message: "", lastTransitionTime: "2026-01-01T00:00:00Z"}]}
`

// deeds are what a hand did, its turns among it.
type deeds struct {
	flowcontrol.RateLimiter
	done []string
}

// Wait implements flowcontrol.RateLimiter.
func (s *deeds) Wait(context.Context) error {
	s.done = append(s.done, "turn")
	return nil
}

// watched is a hand in a cluster that holds objects, and what it does.
func watched(t *testing.T, stored []manifest.Object) (*hand, *deeds, func(verb, resource string, react clienttesting.ReactionFunc)) {
	t.Helper()
	installed, err := config.Installed()
	require.NoError(t, err)
	mesh, err := installed.Mesh()
	require.NoError(t, err)
	client, did := clusterOf(t, stored), &deeds{}
	client.PrependReactor("*", "*", func(action clienttesting.Action) (bool, runtime.Object, error) {
		did.done = append(did.done, action.GetVerb()+" "+action.GetResource().Resource)
		return false, nil, nil
	})
	h := &hand{client: client, mesh: mesh, limiter: did, pace: pace{timeout: time.Minute}, bar: newProgress(nil, 0)}
	h.followers, err = newFollowers(mesh, &adopt.Plan{Namespaces: []adopt.Namespace{{Name: "shop"}}}, stored)
	require.NoError(t, err)
	return h, did, func(verb, resource string, react clienttesting.ReactionFunc) {
		chain := client.ReactionChain
		client.PrependReactor(verb, resource, react)
		// What it does is noted first.
		client.ReactionChain = append([]clienttesting.Reactor{chain[0], client.ReactionChain[0]}, chain[1:]...)
	}
}

// tracker is what the hand's cluster holds.
func (h *hand) tracker() clienttesting.ObjectTracker {
	return h.client.(interface {
		Tracker() clienttesting.ObjectTracker
	}).Tracker()
}

func parsed(t *testing.T, text string) []manifest.Object {
	t.Helper()
	out, err := manifest.Parse("cluster", []byte(text))
	require.NoError(t, err)
	return out
}

// TestARuleFollowsItsEntryAtOnce, without a turn in between, and again until the webhook knows of the entry; its author owns it as before.
func TestARuleFollowsItsEntryAtOnce(t *testing.T) {
	t.Parallel()
	stored := parsed(t, originated)
	entry, rule := stored[1].Unstructured, stored[2].Unstructured
	h, did, on := watched(t, stored)
	on("patch", "serviceentries", func(clienttesting.Action) (bool, runtime.Object, error) {
		sealed := parsed(t, sealedBank)[0].Unstructured
		return true, sealed, h.tracker().Update(resources["ServiceEntry"], sealed, "shop")
	})
	asked := 0
	on("patch", "destinationrules", func(clienttesting.Action) (bool, runtime.Object, error) {
		if asked++; asked < 3 {
			return true, rule.DeepCopy(), nil // its cache lags
		}
		out, err := h.followers.form(rule)(rule)
		require.NoError(t, err)
		out.SetResourceVersion("2")
		out.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: "egressctl", Operation: metav1.ManagedFieldsOperationUpdate}})
		return true, out, nil
	})
	var given *unstructured.Unstructured
	on("update", "destinationrules", func(action clienttesting.Action) (bool, runtime.Object, error) {
		given = action.(clienttesting.UpdateAction).GetObject().(*unstructured.Unstructured)
		return true, given, nil
	})
	require.NoError(t, h.seal(t.Context(), entry))
	assert.Equal(t, []string{
		"get destinationrules", "turn", "get serviceentries", "patch serviceentries",
		"patch destinationrules", "patch destinationrules", "patch destinationrules",
		"update destinationrules", "turn", "get serviceentries",
	}, did.done)
	assert.Equal(t, map[string]any{}, given.Object["spec"].(map[string]any)["trafficPolicy"].(map[string]any)["tls"])
	assert.Equal(t, "kubectl", given.GetManagedFields()[0].Manager)

	did.done = nil
	require.NoError(t, h.again(t.Context(), rule))
	assert.Empty(t, did.done, "it is done")
}

// TestWhoWritesARuleMeanwhileOwnsIt: what was read before the entry's turn is written over nobody, and is given back to nobody.
func TestWhoWritesARuleMeanwhileOwnsIt(t *testing.T) {
	t.Parallel()
	stored := parsed(t, originated)
	h, did, on := watched(t, stored)
	read := stored[2].Unstructured
	now := read.DeepCopy()
	now.SetResourceVersion("2")
	now.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: "argocd", Operation: metav1.ManagedFieldsOperationApply, APIVersion: "networking.istio.io/v1"}})
	on("get", "destinationrules", func(clienttesting.Action) (bool, runtime.Object, error) { return true, now.DeepCopy(), nil })
	on("patch", "destinationrules", func(action clienttesting.Action) (bool, runtime.Object, error) {
		if !strings.Contains(string(action.(clienttesting.PatchAction).GetPatch()), `"resourceVersion":"2"`) {
			return true, nil, apierrors.NewConflict(schema.GroupResource{Resource: "destinationrules"}, "bank", errors.New("written meanwhile"))
		}
		out, err := h.followers.form(now)(now)
		require.NoError(t, err)
		out.SetResourceVersion("3")
		return true, out, nil
	})
	var given *unstructured.Unstructured
	on("update", "destinationrules", func(action clienttesting.Action) (bool, runtime.Object, error) {
		given = action.(clienttesting.UpdateAction).GetObject().(*unstructured.Unstructured)
		return true, given, nil
	})
	require.NoError(t, h.follow(t.Context(), parsed(t, sealedBank)[0].Unstructured, []*unstructured.Unstructured{read}))
	assert.Equal(t, []string{"patch destinationrules", "get destinationrules", "patch destinationrules", "update destinationrules", "turn"}, did.done)
	require.NotNil(t, given)
	assert.Equal(t, "argocd", given.GetManagedFields()[0].Manager)
}

// TestARefusalIsAskedForSeldom, and only where the webhook may not know of the entry yet.
func TestARefusalIsAskedForSeldom(t *testing.T) {
	t.Parallel()
	for refusal, most := range map[string]int{
		`admission webhook "validate.egress-governor.io" denied the request: no`: 20,
		`admission webhook "validate.example.com" denied the request: no`:        1,
		`User "jane" cannot patch resource "destinationrules"`:                   1,
	} {
		stored := parsed(t, originated)
		h, did, on := watched(t, stored)
		on("patch", "destinationrules", func(clienttesting.Action) (bool, runtime.Object, error) {
			return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "destinationrules"}, "bank", errors.New(refusal))
		})
		require.ErrorContains(t, h.follow(t.Context(), parsed(t, sealedBank)[0].Unstructured, []*unstructured.Unstructured{stored[2].Unstructured}), refusal)
		assert.LessOrEqual(t, len(did.done), most, refusal)
		assert.Equal(t, most == 1, len(did.done) == 1, "%s: the webhook's own are asked for again", refusal)
	}
}

// TestARuleThatDoesNotFollowIsToldOf: its calls fail.
func TestARuleThatDoesNotFollowIsToldOf(t *testing.T) {
	t.Parallel()
	stored := parsed(t, originated)
	h, _, _ := watched(t, stored)
	h.timeout = 50 * time.Millisecond
	err := h.follow(t.Context(), parsed(t, sealedBank)[0].Unstructured, []*unstructured.Unstructured{stored[2].Unstructured})
	require.ErrorContains(t, err, "DestinationRule shop/bank: after 50ms it is not in the form that goes with its entry, and calls under it fail")
}

// TestRulesGoBackWithTheirEntry in the requests right before it and after it, of two entries each with its own, and whoever interrupts that has all
// written.
func TestRulesGoBackWithTheirEntry(t *testing.T) {
	t.Parallel()
	stored := parsed(t, originated)
	h, did, on := watched(t, stored)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	on("update", "destinationrules", func(clienttesting.Action) (bool, runtime.Object, error) {
		interrupt()
		return false, nil, nil
	})
	of := func(i int, joined bool) adopt.Return {
		return adopt.Return{Object: stored[i], Intent: stored[i].Unstructured, Joined: joined}
	}
	plan := []adopt.Return{of(2, true), of(1, false), of(2, false), of(2, true), of(1, true), of(2, false)}
	var sizes []int
	for each := range together(plan) {
		sizes = append(sizes, len(each))
	}
	assert.Equal(t, []int{2, 1, 3}, sizes)
	require.NoError(t, h.goBack(ctx, plan[:2], true))
	assert.Equal(t, []string{"turn", "get destinationrules", "get serviceentries", "update destinationrules", "update serviceentries", "update destinationrules", "turn"}, did.done)
}
