package config

import (
	"fmt"
	"net/netip"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// NetworkPolicy is what pods of governed namespaces reach, beside istiod and the gateways. A list that is given empty
// lets them reach nothing.
type NetworkPolicy struct {
	// Mesh are the pods that they call; all of the cluster by default.
	Mesh []networkingv1.NetworkPolicyPeer `json:"mesh,omitempty"`
	DNS  DNS                              `json:"dns,omitempty"`
	// APIServer is where the API server is reached by TCP; nowhere by default.
	APIServer []networkingv1.NetworkPolicyPeer `json:"apiServer,omitempty"`
	// Allow are further peers; none by default.
	Allow []networkingv1.NetworkPolicyPeer `json:"allow,omitempty"`
}

// DNS says who answers it.
type DNS struct {
	// To are the pods of kube-system by default.
	To []networkingv1.NetworkPolicyPeer `json:"to,omitempty"`
	// Ports are those of the pods, 53 by default.
	Ports []int32 `json:"ports,omitempty"`
}

// setDefaults fills in what was left out. Defaults that a file is read over would show through the lists it gives.
func (n *NetworkPolicy) setDefaults() {
	if n.Mesh == nil {
		n.Mesh = []networkingv1.NetworkPolicyPeer{{NamespaceSelector: &metav1.LabelSelector{}}}
	}
	if n.DNS.To == nil {
		n.DNS.To = []networkingv1.NetworkPolicyPeer{{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": "kube-system"}}}}
	}
	if n.DNS.Ports == nil {
		n.DNS.Ports = []int32{53}
	}
}

// validate names what the API server would not take.
func (n *NetworkPolicy) validate(bad *problems) {
	for _, of := range []struct {
		field string
		peers []networkingv1.NetworkPolicyPeer
	}{{"mesh", n.Mesh}, {"dns.to", n.DNS.To}, {"apiServer", n.APIServer}, {"allow", n.Allow}} {
		for i, peer := range of.peers {
			validatePeer(bad, fmt.Sprintf("networkPolicy.%s[%d]", of.field, i), peer)
		}
	}
	for i, port := range n.DNS.Ports {
		if port < 1 || port > 65535 {
			bad.add(fmt.Sprintf("networkPolicy.dns.ports[%d]", i), "%d is not a port", port)
		}
	}
	if len(n.DNS.Ports) == 0 {
		bad.add("networkPolicy.dns.ports", "without a port every one is open")
	}
}

func validatePeer(bad *problems, field string, peer networkingv1.NetworkPolicyPeer) {
	pods := peer.PodSelector != nil || peer.NamespaceSelector != nil
	if pods == (peer.IPBlock != nil) {
		bad.add(field, "must have an ipBlock, or select pods")
	}
	for _, selector := range []*metav1.LabelSelector{peer.PodSelector, peer.NamespaceSelector} {
		if _, err := metav1.LabelSelectorAsSelector(selector); err != nil {
			bad.add(field, "%s", err)
		}
	}
	if peer.IPBlock == nil {
		return
	}
	for _, cidr := range append([]string{peer.IPBlock.CIDR}, peer.IPBlock.Except...) {
		if _, err := netip.ParsePrefix(cidr); err != nil {
			bad.add(field+".ipBlock", "%q is not a range of addresses such as 10.8.0.0/16", cidr)
		}
	}
}
