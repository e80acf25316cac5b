package registry_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// TestEntriesAreKnownByTheirPorts, and by what tells the calls of these apart; of the raw ones there are few.
func TestEntriesAreKnownByTheirPorts(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "")
	spec := func(ports string) string {
		return `{hosts: [a.example.com], addresses: [192.0.2.1], resolution: DNS, ports: [` + ports + `]}`
	}
	const http, mysql, guessed = `{number: 443, name: http, protocol: HTTP}`, `{number: 3306, name: db, protocol: mysql}`, `{number: 3306, name: x}`
	for i := range 5000 {
		put(t, r, object(t, "ServiceEntry", "a", fmt.Sprintf("web-%d", i), spec(http), 0))
	}
	put(t, r, object(t, "ServiceEntry", "b", "younger", spec(guessed), 2))
	put(t, r, object(t, "ServiceEntry", "b", "older", spec(mysql+", "+http), 1))
	raw := r.OnPort(3306, egress.FamilyTCP)
	assert.Equal(t, []string{"b/older", "b/younger"}, names(raw))
	assert.Equal(t, []string{"192.0.2.1"}, raw[0].Addresses)
	assert.Len(t, r.OnPort(443, egress.FamilyHTTP), 5001)
	assert.Empty(t, r.OnPort(443, egress.FamilyTCP))
	assert.Empty(t, r.OnPort(443, egress.FamilyTLS))

	put(t, r, object(t, "ServiceEntry", "b", "older", spec(http), 1))
	assert.Equal(t, []string{"b/younger"}, names(r.OnPort(3306, egress.FamilyTCP)))
	r.PutNamespace("b", map[string]string{"governed": "no"})
	assert.Equal(t, []string{"b/younger"}, names(r.OnPort(3306, egress.FamilyTCP)), "whoever governs it")
	r.DeleteEntry("b", "younger")
	assert.Empty(t, r.OnPort(3306, egress.FamilyTCP))
}

// TestServicesAreKnownByTheirHTTPPorts, but for those that are another name of a host outside.
func TestServicesAreKnownByTheirHTTPPorts(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "")
	service := func(name string, kind corev1.ServiceType, ports ...corev1.ServicePort) *corev1.Service {
		return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: name}, Spec: corev1.ServiceSpec{Type: kind, Ports: ports}}
	}
	kubernetes := "kubernetes.io/h2c"
	r.PutService(service("b", "", corev1.ServicePort{Port: 8080, Name: "http-web"}, corev1.ServicePort{Port: 9090, Name: "web", AppProtocol: &kubernetes}))
	r.PutService(service("a", "", corev1.ServicePort{Port: 8080, Name: "grpc"}, corev1.ServicePort{Port: 5432, Name: "tcp-db"}))
	r.PutService(service("c", corev1.ServiceTypeExternalName, corev1.ServicePort{Port: 80, Name: "http"}))
	assert.Equal(t, "a.a.svc.cluster.local", r.HTTPService(8080))
	assert.Equal(t, "b.a.svc.cluster.local", r.HTTPService(9090))
	assert.Empty(t, r.HTTPService(5432))
	assert.Empty(t, r.HTTPService(80))
	r.DeleteService("a", "a")
	assert.Equal(t, "b.a.svc.cluster.local", r.HTTPService(8080))
	r.PutService(service("b", ""))
	assert.Empty(t, r.HTTPService(8080))
}
