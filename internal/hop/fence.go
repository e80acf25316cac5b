package hop

import (
	corev1 "k8s.io/api/core/v1"
	networkpolicyv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// istiodPort is where proxies have their configuration and certificates from.
const istiodPort = 15012

// Peer is a peer of a NetworkPolicy.
type Peer = networkpolicyv1.NetworkPolicyPeer

// Fence is what pods of governed namespaces reach, whether they have a sidecar or not. Empty peers are nobody.
type Fence struct {
	// Mesh are the pods that they call, by any protocol; Allow is whatever else they reach so.
	Mesh, Allow []Peer
	// DNS answers on DNSPorts.
	DNS      []Peer
	DNSPorts []int32
	// APIServer is reached by TCP.
	APIServer []Peer
}

// NetworkPolicy returns the NetworkPolicy of ours in a governed namespace: beside the peers, its pods reach istiod and the
// egress gateways.
func (f *Fence) NetworkPolicy(mesh *egress.Mesh, view egress.View, namespace string) *networkpolicyv1.NetworkPolicy {
	out := &networkpolicyv1.NetworkPolicy{ObjectMeta: meta(namespace, ClosingName, "")}
	out.Spec.PolicyTypes = []networkpolicyv1.PolicyType{networkpolicyv1.PolicyTypeEgress}
	to := func(peers []Peer, ports ...networkpolicyv1.NetworkPolicyPort) {
		// A rule without peers would let everything out.
		if len(peers) > 0 {
			out.Spec.Egress = append(out.Spec.Egress, networkpolicyv1.NetworkPolicyEgressRule{To: peers, Ports: ports})
		}
	}
	to(f.Mesh)
	var dns []networkpolicyv1.NetworkPolicyPort
	for _, number := range f.DNSPorts {
		dns = append(dns, port(corev1.ProtocolUDP, number), port(corev1.ProtocolTCP, number))
	}
	to(f.DNS, dns...)
	for _, gw := range mesh.Gateways {
		to([]Peer{podsOf(gw.Namespace(), gw.Selector)}, targets(gw, view.Service(gw.Service))...)
	}
	to([]Peer{podsOf(mesh.IstioNamespace, nil)}, port(corev1.ProtocolTCP, istiodPort))
	to(f.APIServer, port(corev1.ProtocolTCP, 0))
	to(f.Allow)
	return out
}

// podsOf are those of a namespace with labels, all of it without any.
func podsOf(namespace string, with map[string]string) Peer {
	out := Peer{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: namespace}}}
	if len(with) > 0 {
		out.PodSelector = &metav1.LabelSelector{MatchLabels: with}
	}
	return out
}

// targets are the ports of a gateway's pods; all by TCP where the Service does not say them as numbers.
func targets(gw egress.Gateway, service *egress.Service) (out []networkpolicyv1.NetworkPolicyPort) {
	if service != nil {
		for _, of := range service.Ports {
			if of.Number != gw.HTTPPort && of.Number != gw.TLSPort {
				continue
			}
			if of.Target == 0 {
				return []networkpolicyv1.NetworkPolicyPort{port(corev1.ProtocolTCP, 0)}
			}
			out = append(out, port(corev1.ProtocolTCP, int32(of.Target)))
		}
	}
	if len(out) == 0 {
		return []networkpolicyv1.NetworkPolicyPort{port(corev1.ProtocolTCP, 0)}
	}
	return out
}

// port is one of a protocol, every one where it is 0.
func port(protocol corev1.Protocol, number int32) networkpolicyv1.NetworkPolicyPort {
	out := networkpolicyv1.NetworkPolicyPort{Protocol: &protocol}
	if number != 0 {
		value := intstr.FromInt32(number)
		out.Port = &value
	}
	return out
}
