package hop_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	networkpolicyv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/hop"
)

func block(cidr string) []hop.Peer {
	return []hop.Peer{{IPBlock: &networkpolicyv1.IPBlock{CIDR: cidr}}}
}

func egressOf(t *testing.T, fence hop.Fence, service *egress.Service) string {
	t.Helper()
	mesh, view := egresstest.Mesh(), egresstest.NewCluster()
	mesh.IstioNamespace = "istio-system"
	view.Services = map[string]*egress.Service{egresstest.GatewayService: service}
	policy := fence.NetworkPolicy(mesh, view, "payments")
	assert.Equal(t, "payments", policy.Namespace)
	assert.True(t, hop.IsClosing(policy))
	assert.Equal(t, []networkpolicyv1.PolicyType{"Egress"}, policy.Spec.PolicyTypes)
	assert.Equal(t, metav1.LabelSelector{}, policy.Spec.PodSelector, "every pod")
	for _, rule := range policy.Spec.Egress {
		assert.NotEmpty(t, rule.To, "a rule without peers lets everything out")
	}
	raw, err := json.Marshal(policy.Spec.Egress)
	require.NoError(t, err)
	return string(raw)
}

const (
	toGateway = `{"ports":[PORTS],"to":[{"podSelector":{"matchLabels":{"istio":"egressgateway"}},"namespaceSelector":{"matchLabels":{"kubernetes.io/metadata.name":"istio-system"}}}]}`
	toIstiod  = `{"ports":[{"protocol":"TCP","port":15012}],"to":[{"namespaceSelector":{"matchLabels":{"kubernetes.io/metadata.name":"istio-system"}}}]}`
)

func withPorts(ports string) string { return strings.ReplaceAll(toGateway, "PORTS", ports) }

func TestAFenceLetsThroughWhatItNames(t *testing.T) {
	t.Parallel()
	service := &egress.Service{Ports: []egress.ServicePort{{Number: 80, Target: 8080}, {Number: 443, Target: 8443}, {Number: 15021, Target: 15021}}}
	all := hop.Fence{
		Mesh: []hop.Peer{{NamespaceSelector: &metav1.LabelSelector{}}}, DNS: block("169.254.20.10/32"), DNSPorts: []int32{53},
		APIServer: block("10.0.0.1/32"), Allow: block("10.9.0.0/16"),
	}
	assert.JSONEq(t, `[
		{"to":[{"namespaceSelector":{}}]},
		{"ports":[{"protocol":"UDP","port":53},{"protocol":"TCP","port":53}],"to":[{"ipBlock":{"cidr":"169.254.20.10/32"}}]},
		`+withPorts(`{"protocol":"TCP","port":8080},{"protocol":"TCP","port":8443}`)+`,
		`+toIstiod+`,
		{"ports":[{"protocol":"TCP"}],"to":[{"ipBlock":{"cidr":"10.0.0.1/32"}}]},
		{"to":[{"ipBlock":{"cidr":"10.9.0.0/16"}}]}]`, egressOf(t, all, service))
}

// TestAFenceWithoutPeersLeavesTheMeshsOwn, by whatever port where the gateway's Service does not say which.
func TestAFenceWithoutPeersLeavesTheMeshsOwn(t *testing.T) {
	t.Parallel()
	for name, service := range map[string]*egress.Service{
		"none":         nil,
		"other ports":  {Ports: []egress.ServicePort{{Number: 8080, Target: 8080}}},
		"a named port": {Ports: []egress.ServicePort{{Number: 80}, {Number: 443, Target: 8443}}},
	} {
		assert.JSONEq(t, `[`+withPorts(`{"protocol":"TCP"}`)+`,`+toIstiod+`]`, egressOf(t, hop.Fence{DNSPorts: []int32{53}}, service), name)
	}
}
