package registry_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/registry"
)

const gatewayService = "istio-egressgateway.istio-system.svc.cluster.local"

func newRegistry(t *testing.T, governed string) *registry.Registry {
	t.Helper()
	selector, err := labels.Parse(governed)
	require.NoError(t, err)
	out := registry.New(&egress.Mesh{ClusterDomain: "cluster.local", Governed: selector, Gateways: []egress.Gateway{{
		Name: "default", Service: gatewayService, HTTPPort: 80, TLSPort: 443, Clients: labels.Everything(),
	}}})
	for _, name := range []string{"a", "b"} {
		out.PutNamespace(name, nil)
	}
	return out
}

func object(t *testing.T, kind, namespace, name, spec string, created time.Duration) *unstructured.Unstructured {
	t.Helper()
	out := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "networking.istio.io/v1", "kind": kind}}
	var fields map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(spec), &fields))
	out.Object["spec"] = fields
	out.SetNamespace(namespace)
	out.SetName(name)
	out.SetCreationTimestamp(metav1.NewTime(time.Unix(1000, 0).Add(created)))
	return out
}

const sealed = `{hosts: [Api.example.com.], resolution: DNS, endpoints: [{address: ` + gatewayService + `}], ports: [{number: 443, name: tls, protocol: TLS}]}`

func names(entries []*egress.Entry) []string {
	out := []string{}
	for _, entry := range entries {
		out = append(out, entry.Namespace+"/"+entry.Name)
	}
	return out
}

func TestEntriesComeOldestFirst(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "")
	var touched [][]string
	r.OnChange(func(hosts []string) { touched = append(touched, hosts) })
	r.PutEntry(object(t, "ServiceEntry", "b", "young", sealed, time.Minute))
	r.PutEntry(object(t, "ServiceEntry", "b", "same", sealed, 0))
	r.PutEntry(object(t, "ServiceEntry", "a", "same", sealed, 0))
	assert.Equal(t, []string{"a/same", "b/same", "b/young"}, names(r.Entries("api.example.com")))
	assert.Equal(t, "default", r.Entries("api.example.com")[0].Gateway)
	r.PutEntry(object(t, "ServiceEntry", "a", "same", `{hosts: [new.example.com]}`, 0))
	assert.Equal(t, []string{"b/same", "b/young"}, names(r.Entries("api.example.com")))
	assert.Equal(t, []string{"api.example.com", "new.example.com"}, touched[3], "hosts before and after")
	r.DeleteEntry("a", "same")
	assert.Empty(t, r.Entries("new.example.com"))
	assert.Equal(t, []string{"new.example.com"}, touched[4])
}

func TestUngovernedNamespacesOwnNothing(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "!exempt")
	var touched []string
	r.OnChange(func(hosts []string) { touched = append(touched, hosts...) })
	r.PutEntry(object(t, "ServiceEntry", "a", "e", sealed, 0))
	require.Len(t, r.Entries("api.example.com"), 1)
	r.PutNamespace("a", map[string]string{"exempt": "true"})
	assert.Empty(t, r.Entries("api.example.com"))
	assert.Len(t, touched, 2, "its hosts are looked at again")
	r.PutEntry(object(t, "ServiceEntry", "never-seen", "e", sealed, 0))
	assert.Empty(t, r.Entries("api.example.com"))
}

func TestSealThatCannotBeExpressedIsNone(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "")
	r.PutEntry(object(t, "ServiceEntry", "a", "e", `{hosts: [db.example.com], resolution: DNS, endpoints: [{address: `+gatewayService+`}], ports: [{number: 5432, name: db, protocol: TCP}]}`, 0))
	require.Len(t, r.Entries("db.example.com"), 1)
	assert.Empty(t, r.Entries("db.example.com")[0].Gateway)
}

func TestServicesAndRules(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "")
	grpc := "grpc"
	r.PutService(&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "s"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{
		{Name: "http2-web", Port: 80}, {Name: "x", Port: 81, AppProtocol: &grpc},
	}}})
	const host = "s.a.svc.cluster.local"
	assert.True(t, r.IsService(host))
	assert.Equal(t, "HTTP2", r.ServicePortProtocol(host, 80))
	assert.Equal(t, "GRPC", r.ServicePortProtocol(host, 81))
	assert.Empty(t, r.ServicePortProtocol(host, 82))
	r.DeleteService("a", "s")
	assert.False(t, r.IsService(host))

	r.PutRule(object(t, "DestinationRule", "a", "d", `{host: api.example.com, trafficPolicy: {tls: {mode: SIMPLE}}}`, 0))
	assert.True(t, r.HasTrafficPolicy("a", "api.example.com"))
	assert.False(t, r.HasTrafficPolicy("b", "api.example.com"))
	r.PutRule(object(t, "DestinationRule", "a", "d", `{host: api.example.com}`, 0))
	assert.False(t, r.HasTrafficPolicy("a", "api.example.com"))
}

func TestOwnerIsTheOldestOfItsGateway(t *testing.T) {
	t.Parallel()
	entries := []*egress.Entry{{Name: "bare", External: true}, {Name: "other", External: true, Gateway: "other"}, {Name: "first", External: true, Gateway: "default"}, {Name: "second", External: true, Gateway: "default"}}
	assert.Equal(t, "first", registry.Owner(entries, "default").Name)
	assert.Nil(t, registry.Owner(entries[:2], "default"))
}

func TestDiffers(t *testing.T) {
	t.Parallel()
	base := egress.ServiceEntry{Resolution: "DNS", Ports: []egress.Port{{Number: 443, Name: "a", Protocol: "TLS"}, {Number: 80, Name: "b", Protocol: "http", TargetPort: 80}}, Endpoints: []egress.Endpoint{{Address: "x", Ports: map[string]uint32{"a": 1}}}}
	for name, tc := range map[string]struct {
		change func(*egress.ServiceEntry)
		want   string
	}{
		"nothing": {func(*egress.ServiceEntry) {}, ""},
		"spelling": {func(s *egress.ServiceEntry) {
			s.Ports = []egress.Port{{Number: 80, Name: "z", Protocol: "HTTP"}, {Number: 443, Name: "y", Protocol: "tls"}}
			s.Endpoints = []egress.Endpoint{{Address: "x", Ports: map[string]uint32{"y": 1}}}
		}, ""},
		"resolution":    {func(s *egress.ServiceEntry) { s.Resolution = "STATIC" }, "its resolution is DNS there and STATIC here"},
		"protocol":      {func(s *egress.ServiceEntry) { s.Ports = []egress.Port{{Number: 443, Protocol: "HTTP"}} }, "port 443 is TLS there and HTTP here"},
		"a further one": {func(s *egress.ServiceEntry) { s.Ports = []egress.Port{{Number: 81, Protocol: "HTTP"}} }, "port 81 is not declared there"},
		"one less":      {func(s *egress.ServiceEntry) { s.Ports = s.Ports[:1] }, "port 80 is declared there and not here"},
		"targetPort": {func(s *egress.ServiceEntry) {
			s.Ports = []egress.Port{{Number: 80, Protocol: "HTTP", TargetPort: 8000}}
		}, "port 80 has another targetPort there"},
		"endpoints": {func(s *egress.ServiceEntry) { s.Endpoints = nil }, "its endpoints are others"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			other := base
			tc.change(&other)
			assert.Equal(t, tc.want, registry.Differs(base.Define(), other.Define()))
		})
	}
}

func TestChangesOfTheGatewaysServiceReachItsHosts(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "")
	gw := egress.Gateway{Name: "default", Service: gatewayService, HTTPPort: 80, TLSPort: 443}
	r.PutEntry(object(t, "ServiceEntry", "a", "sealed", sealed, 0))
	var told [][]string
	r.OnChange(func(hosts []string) { told = append(told, hosts) })
	require.Len(t, r.GatewayProblems(gw), 1)
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: gw.Namespace(), Name: gw.ServiceName()}}
	service.Spec.Ports = []corev1.ServicePort{{Port: 80}, {Port: 443}}
	r.PutService(service)
	assert.Empty(t, r.GatewayProblems(gw))
	r.PutService(service.DeepCopy())
	r.DeleteService(service.Namespace, service.Name)
	assert.Len(t, told, 2, "what changes nothing is not told")
}
