package registry_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

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

// gatewayServiceOf is the Service of an egress gateway of istio-system.
func gatewayServiceOf(name string) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "istio-system", Name: name},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "http2", Port: 80}, {Name: "https", Port: 443}}},
	}
}

// TestAGatewayThatWasThereBefore is a problem of the egress gateway whose port it takes, found by the labels of the pods,
// and the entries that leave by it are looked at again when it comes and when it goes.
func TestAGatewayThatWasThereBefore(t *testing.T) {
	t.Parallel()
	mesh := egresstest.TwoGateways()
	r := registry.New(mesh)
	r.PutNamespace("a", nil)
	gw := mesh.Gateways[1]
	r.PutService(gatewayServiceOf("istio-egressgateway"))
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
	require.Empty(t, codes())
	put(t, r, object(t, "Gateway", "a", "theirs", `{selector: {app: egress}, servers: [{port: {number: 443, name: tls, protocol: TLS}, hosts: [x.test], tls: {mode: ISTIO_MUTUAL}}]}`, 0))
	put(t, r, object(t, "Gateway", "a", "harmless", `{selector: {istio: egressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [x.test]}]}`, 0))
	assert.Empty(t, codes())
	assert.Empty(t, woken)

	r.PutPod("istio-system", "egress-1", map[string]string{"istio": "egressgateway", "app": "egress"})
	assert.Equal(t, []string{"foreign-gateway"}, codes())
	assert.Equal(t, []types.NamespacedName{{Namespace: "a", Name: "e"}}, woken)
	assert.Contains(t, r.Foreign(gw)[0].Message, "Gateway a/theirs, spec.servers[0].port: ")
	assert.Empty(t, r.Foreign(mesh.Gateways[0]), "the other gateway's are not these pods")

	require.NotNil(t, r.Binding("a", "theirs"))
	r.DeleteBinding("a", "theirs")
	assert.Empty(t, codes())
	assert.Len(t, woken, 2)
	r.DeletePod("istio-system", "egress-1")
	assert.Empty(t, r.Pods("istio-system"))
}

// theirs is a Gateway object that takes the port of TLS from whichever pods have the label.
func theirs(t *testing.T, name, label string) *unstructured.Unstructured {
	t.Helper()
	return object(t, "Gateway", "a", name, `{selector: {app: `+label+`}, servers: [
  {port: {number: 443, name: tls, protocol: TLS}, hosts: [x.test], tls: {mode: ISTIO_MUTUAL}}, {port: {number: 80, name: tcp, protocol: TCP}, hosts: [x.test]}]}`, 0)
}

// TestWhatGatewaysTakeIsThatOfNow, in whatever order they, the pods of the egress gateway and its Service come and go.
func TestWhatGatewaysTakeIsThatOfNow(t *testing.T) {
	t.Parallel()
	mesh := egresstest.Mesh()
	r := registry.New(mesh)
	takes := func(want ...string) {
		t.Helper()
		got := []string{}
		for _, taken := range r.Foreign(mesh.Gateways[0]) {
			got = append(got, strings.Fields(strings.ReplaceAll(taken.Message, ",", " "))[1]+" "+strings.Fields(taken.Message)[2])
		}
		assert.Equal(t, append([]string{}, want...), got)
	}
	pod := func(name, app string) {
		r.PutPod("istio-system", name, map[string]string{"istio": "egressgateway", "app": app})
	}
	r.PutPod("istio-system", "another", map[string]string{"app": "old"})
	put(t, r, theirs(t, "of-old", "old"))
	takes()
	pod("one", "old")
	pod("two", "old")
	put(t, r, theirs(t, "of-new", "new"))
	both := []string{"a/of-old spec.servers[0].port:", "a/of-old spec.servers[1].port:"}
	takes(both...)
	r.DeletePod("istio-system", "one")
	takes(both...)
	pod("two", "new")
	takes("a/of-new spec.servers[0].port:", "a/of-new spec.servers[1].port:")
	pod("two", "old")
	takes(both...)
	service := gatewayServiceOf("istio-egressgateway")
	service.Spec.Ports[1].TargetPort = intstr.FromInt32(8443)
	r.PutService(service)
	put(t, r, object(t, "Gateway", "a", "of-old", `{selector: {app: old}, servers: [{port: {number: 8443, name: tls, protocol: TLS}, hosts: [x.test], tls: {mode: SIMPLE}}]}`, 0))
	takes("a/of-old spec.servers[0].port:")
	r.DeleteService("istio-system", "istio-egressgateway")
	takes()
	r.PutService(service)
	takes("a/of-old spec.servers[0].port:")
	r.DeletePod("istio-system", "two")
	takes()
	require.Len(t, r.Pods("istio-system"), 1)
}

// TestWhoTakesFromAGatewayIsBoundedInWhatIsTold: of the first servers one by one, of all how many they are; and entries are told once.
func TestWhoTakesFromAGatewayIsBoundedInWhatIsTold(t *testing.T) {
	t.Parallel()
	const many = 300
	mesh := egresstest.Mesh()
	gw := mesh.Gateways[0]
	r := registry.New(mesh)
	r.PutNamespace("a", nil)
	r.PutService(gatewayServiceOf("istio-egressgateway"))
	r.PutPod("istio-system", "p", map[string]string{"istio": "egressgateway", "app": "egress"})
	put(t, r, object(t, "ServiceEntry", "a", "e", sealed, 0))
	told := 0
	r.OnChange(func(change registry.Change) { told += len(change.Entries) })
	told = 0
	for i := range many {
		put(t, r, theirs(t, fmt.Sprintf("%03d", i), "egress"))
	}
	assert.Equal(t, 1, told)
	found := r.Foreign(gw)
	require.Len(t, found, 11)
	assert.Equal(t, r.Problems(gw), found)
	assert.Contains(t, found[9].Message, "Gateway a/004, spec.servers[1].port: ")
	assert.Contains(t, found[10].Message, "590 more servers")
	assert.Contains(t, found[10].Message, "300 Gateways")
	for i := range many {
		r.DeleteBinding("a", fmt.Sprintf("%03d", many-1-i))
	}
	assert.Empty(t, r.Foreign(gw))
	assert.Equal(t, 2, told)
}

// TestProblemsAreThoseOfNow, whoever asked while something around the gateway changed.
func TestProblemsAreThoseOfNow(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "")
	gw := egress.Gateway{Name: "default", Service: gatewayService, HTTPPort: 80, TLSPort: 443}
	service := gatewayServiceOf("istio-egressgateway")
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
