package registry

import (
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// Service implements egress.View.
func (r *Registry) Service(host string) *egress.Service {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.services[host]
}

// ServiceAt implements egress.View.
func (r *Registry) ServiceAt(ip netip.Addr) string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return first(r.clusterIPs[ip])
}

// StoredService is what is kept of a stored Service.
type StoredService struct {
	Identity
	*egress.Service
}

// GetObjectKind implements runtime.Object.
func (*StoredService) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// DeepCopyObject implements runtime.Object. What is shared is never changed.
func (s *StoredService) DeepCopyObject() runtime.Object {
	out := *s
	return &out
}

func slimService(obj any) any {
	if service, ok := obj.(*corev1.Service); ok {
		return &StoredService{identify(service), ReadService(service)}
	}
	return obj
}

func (r *Registry) putService(kept any) {
	if stored, ok := kept.(*StoredService); ok {
		r.swapService(r.serviceHost(stored.Namespace, stored.Name), stored.Service)
	}
}

// PutService takes in a Service.
func (r *Registry) PutService(service *corev1.Service) { r.putService(slimService(service)) }

// maxServiceAddresses bounds the addresses that are kept of a Service: whoever may write one could claim 60,000 in a megabyte, each of
// which takes ten times its text here. Those in the cluster, and those that the status has, come first; load balancers give a handful.
const maxServiceAddresses = 256

// ReadService returns the part of a Service that governs egress.
func ReadService(service *corev1.Service) *egress.Service {
	out := &egress.Service{ExternalName: service.Spec.Type == corev1.ServiceTypeExternalName, IPs: addressesOf(service)}
	if out.ExternalName {
		out.Alias = egress.Canonical(service.Spec.ExternalName)
	}
	for _, port := range service.Spec.Ports {
		out.Ports = append(out.Ports, egress.ServicePort{Number: uint32(port.Port), Protocol: Same(protocol(port)), Target: target(port)})
	}
	return out
}

func addressesOf(service *corev1.Service) (out []netip.Addr) {
	had := map[netip.Addr]bool{}
	take := func(written string) {
		if address, err := netip.ParseAddr(written); len(out) < maxServiceAddresses && err == nil && !had[address] {
			had[address] = true
			out = append(out, address)
		}
	}
	for _, ip := range slices.Concat(service.Spec.ClusterIPs, []string{service.Spec.ClusterIP}) {
		take(ip)
	}
	for _, ingress := range service.Status.LoadBalancer.Ingress {
		take(ingress.IP)
	}
	for _, ip := range service.Spec.ExternalIPs {
		take(ip)
	}
	return out
}

// DeleteService forgets a Service.
func (r *Registry) DeleteService(namespace, name string) {
	r.swapService(r.serviceHost(namespace, name), nil)
}

// target is the port of the pods, 0 where it is named.
func target(port corev1.ServicePort) uint32 {
	if port.TargetPort == (intstr.IntOrString{}) {
		return uint32(port.Port)
	}
	return uint32(port.TargetPort.IntVal)
}

// protocol is what Istio takes a Service's port for.
func protocol(port corev1.ServicePort) string {
	name := port.Name
	if port.AppProtocol != nil {
		switch name = *port.AppProtocol; name {
		case "kubernetes.io/h2c":
			return "HTTP2"
		case "kubernetes.io/ws":
			return "HTTP"
		case "kubernetes.io/wss":
			return "HTTPS"
		}
	}
	prefix, _, _ := strings.Cut(name, "-")
	return strings.ToUpper(prefix)
}

func (r *Registry) swapService(host string, next *egress.Service) {
	set := func() {
		r.ports.swapService(host, r.services[host], next)
		if last := r.services[host]; last != nil {
			for _, ip := range last.IPs {
				r.clusterIPs.remove(ip, host)
			}
		}
		if next == nil {
			delete(r.services, host)
			return
		}
		r.services[host] = next
		for _, ip := range next.IPs {
			r.clusterIPs.add(ip, host)
		}
	}
	if _, is := r.mesh.GatewayByService(host); is {
		r.around(func() {
			set()
			for _, gw := range r.mesh.Gateways {
				if gw.Service == host {
					r.takeAll(gw)
				}
			}
		})
		return
	}
	r.mu.Lock()
	was := r.services[host] != nil
	set()
	var change Change
	if was != (next != nil) {
		change.Entries = append(r.naming(host), r.boundTo(host)...)
	}
	r.mu.Unlock()
	r.tell(change)
}

// naming returns the entries that name a Service, in each form that a pod's search path makes of its host.
func (r *Registry) naming(service string) (out []types.NamespacedName) {
	short := strings.TrimSuffix(service, "."+r.mesh.ClusterDomain)
	for _, host := range []string{service, short, strings.TrimSuffix(short, ".svc")} {
		for _, entry := range r.hosts[host] {
			out = append(out, types.NamespacedName{Namespace: entry.Namespace, Name: entry.Name})
		}
	}
	return out
}

func (r *Registry) sealedTo(gw egress.Gateway) (out []types.NamespacedName) {
	for name, stored := range r.entries {
		if entry := r.counting(stored); entry != nil && entry.Gateway == gw.Name {
			out = append(out, name)
		}
	}
	return out
}

// boundTo returns the entries that are bound to the waypoint of a Service.
func (r *Registry) boundTo(service string) (out []types.NamespacedName) {
	if !slices.ContainsFunc(r.mesh.Gateways, func(gw egress.Gateway) bool {
		return gw.Waypoint.Name != "" && strings.HasPrefix(service, gw.Waypoint.Name+".")
	}) {
		return nil
	}
	for name, stored := range r.entries {
		if entry := stored.entry(); entry != nil && entry.Waypoint.Name != "" && r.mesh.WaypointService(entry.Waypoint) == service {
			out = append(out, name)
		}
	}
	return out
}

func (r *Registry) serviceHost(namespace, name string) string {
	return name + "." + namespace + ".svc." + r.mesh.ClusterDomain
}

// under returns the entries of a namespace with hosts that a rule of it is for.
func (r *Registry) under(namespace, pattern string) (out []types.NamespacedName) {
	for name, stored := range r.byNamespace[namespace] {
		if stored.Entry != nil && r.governed[namespace] && slices.ContainsFunc(stored.Entry.Hosts, func(host string) bool { return egress.Covers(pattern, host) }) {
			out = append(out, name)
		}
	}
	return out
}
