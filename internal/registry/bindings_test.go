package registry_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/internal/registry"
)

// TestWhichGatewaysNameAHost: those of others, by name.
func TestWhichGatewaysNameAHost(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "")
	const spec = `{selector: {istio: ingressgateway}, servers: [{port: {number: 80}, hosts: ["*.other.test"]}, {port: {number: 443}, hosts: [web/Shop.example.com.]}]}`
	kept := object(t, "Gateway", "istio-system", "kept", spec, 0)
	kept.SetLabels(map[string]string{hop.ManagedByLabel: hop.Manager})
	for _, gateway := range []*unstructured.Unstructured{kept, object(t, "Gateway", "b", "in", spec, 0), object(t, "Gateway", "a", "in", spec, 0)} {
		put(t, r, gateway)
	}
	var got []string
	for _, binding := range r.Serving("shop.example.com") {
		got = append(got, binding.Namespace+"/"+binding.Name)
	}
	assert.Equal(t, []string{"a/in", "b/in"}, got)
	assert.Empty(t, r.Serving("a.other.test"))
	r.Remove(object(t, "Gateway", "a", "in", spec, 0))
	assert.Len(t, r.Serving("shop.example.com"), 1)
}

// TestServicesThatAreOtherNames are known by the host behind them; an address or a selector makes none.
func TestServicesThatAreOtherNames(t *testing.T) {
	t.Parallel()
	out := registry.ReadService(&corev1.Service{Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "API.example.com."}})
	assert.True(t, out.ExternalName)
	assert.Equal(t, "api.example.com", out.Alias)
	assert.Empty(t, registry.ReadService(&corev1.Service{Spec: corev1.ServiceSpec{ExternalName: "api.example.com"}}).Alias)
}

// TestAGatewayThatWasThereBefore is a problem of the egress gateway whose port it takes, found by the labels of the pods,
// and the entries that leave by it are looked at again when it comes and when it goes.
func TestAGatewayThatWasThereBefore(t *testing.T) {
	t.Parallel()
	mesh := egresstest.TwoGateways()
	r := registry.New(mesh)
	r.PutNamespace("a", nil)
	gw := mesh.Gateways[1]
	put(t, r, object(t, "ServiceEntry", "a", "e", sealed, 0))
	var woken []types.NamespacedName
	r.OnChange(func(change registry.Change) { woken = append(woken, change.Entries...) })
	woken = nil
	codes := func() (out []string) {
		for _, problem := range r.Problems(gw) {
			out = append(out, problem.Code)
			assert.NotEmpty(t, problem.Message+problem.Fix)
		}
		return out
	}
	before := codes()
	put(t, r, object(t, "Gateway", "a", "theirs", `{selector: {app: egress}, servers: [{port: {number: 443, name: tls, protocol: TLS}, hosts: [x.test], tls: {mode: ISTIO_MUTUAL}}]}`, 0))
	put(t, r, object(t, "Gateway", "a", "harmless", `{selector: {istio: egressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [x.test]}]}`, 0))
	assert.Equal(t, before, codes())
	assert.Empty(t, woken)

	r.PutPod("istio-system", "egress-1", map[string]string{"istio": "egressgateway", "app": "egress"})
	assert.Equal(t, append(before, "foreign-gateway"), codes())
	assert.Equal(t, []types.NamespacedName{{Namespace: "a", Name: "e"}}, woken)
	assert.Contains(t, r.Foreign(gw)[0].Message, "Gateway a/theirs, spec.servers[0].port: ")
	assert.Empty(t, r.Foreign(mesh.Gateways[0]), "the other gateway's are not these pods")

	require.NotNil(t, r.Binding("a", "theirs"))
	r.DeleteBinding("a", "theirs")
	assert.Equal(t, before, codes())
	assert.Len(t, woken, 2)
	r.DeletePod("istio-system", "egress-1")
	assert.Empty(t, r.Pods("istio-system"))
}

// TestProblemsAreThoseOfNow, whoever asked while something around the gateway changed.
func TestProblemsAreThoseOfNow(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "")
	gw := egress.Gateway{Name: "default", Service: gatewayService, HTTPPort: 80, TLSPort: 443}
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "istio-system", Name: "istio-egressgateway"},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "http2", Port: 80}, {Name: "https", Port: 443}}},
	}
	// Each costs whoever asks some time.
	for i := range 50 {
		r.PutBinding(object(t, "Gateway", "a", fmt.Sprint(i), `{selector: {istio: ingressgateway}, servers: []}`, 0))
	}
	ended := make(chan struct{})
	var asking sync.WaitGroup
	for range 4 {
		asking.Go(func() {
			for {
				select {
				case <-ended:
					return
				default:
					r.Problems(gw)
				}
			}
		})
	}
	for i := range 150 {
		r.PutService(service)
		assert.Empty(t, r.Problems(gw), i)
		r.DeleteService("istio-system", "istio-egressgateway")
		assert.Len(t, r.Problems(gw), 1, i)
		if t.Failed() {
			break
		}
	}
	close(ended)
	asking.Wait()
}
