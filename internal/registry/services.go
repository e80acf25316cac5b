package registry

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// Service implements egress.View.
func (r *Registry) Service(host string) *egress.Service {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.services[host]
}

// PutService takes in a Service.
func (r *Registry) PutService(service *corev1.Service) {
	r.swapService(r.serviceHost(service.Namespace, service.Name), ReadService(service))
}

// ReadService returns the part of a Service that governs egress.
func ReadService(service *corev1.Service) *egress.Service {
	out := &egress.Service{ExternalName: service.Spec.Type == corev1.ServiceTypeExternalName}
	for _, port := range service.Spec.Ports {
		out.Ports = append(out.Ports, egress.ServicePort{Number: uint32(port.Port), Protocol: protocol(port)})
	}
	return out
}

// DeleteService forgets a Service.
func (r *Registry) DeleteService(namespace, name string) {
	r.swapService(r.serviceHost(namespace, name), nil)
}

// protocol is what Istio takes a Service's port for.
func protocol(port corev1.ServicePort) string {
	if port.AppProtocol != nil {
		return strings.ToUpper(*port.AppProtocol)
	}
	prefix, _, _ := strings.Cut(port.Name, "-")
	return strings.ToUpper(prefix)
}

func (r *Registry) swapService(host string, next *egress.Service) {
	var change Change
	r.mu.Lock()
	last := r.services[host]
	if next == nil {
		delete(r.services, host)
	} else {
		r.services[host] = next
	}
	if gw, is := r.mesh.GatewayByService(host); is && !slices.Equal(gw.Problems(last), gw.Problems(next)) {
		change.Entries = r.sealedTo(gw)
	}
	r.mu.Unlock()
	r.tell(change)
}

func (r *Registry) sealedTo(gw egress.Gateway) (out []types.NamespacedName) {
	for name, stored := range r.entries {
		if stored.Entry != nil && stored.Entry.Gateway == gw.Name {
			out = append(out, name)
		}
	}
	return out
}

func (r *Registry) serviceHost(namespace, name string) string {
	return name + "." + namespace + ".svc." + r.mesh.ClusterDomain
}
