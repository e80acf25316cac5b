package registry

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/preflight"
)

// IsService implements egress.World.
func (r *Registry) IsService(host string) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.services[host] != nil
}

// ServicePortProtocol implements egress.World.
func (r *Registry) ServicePortProtocol(host string, number uint32) string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	service := r.services[host]
	if service == nil {
		return ""
	}
	for _, port := range service.Spec.Ports {
		if uint32(port.Port) != number {
			continue
		}
		if port.AppProtocol != nil {
			return strings.ToUpper(*port.AppProtocol)
		}
		prefix, _, _ := strings.Cut(port.Name, "-")
		return strings.ToUpper(prefix)
	}
	return ""
}

// PutService takes in a Service.
func (r *Registry) PutService(service *corev1.Service) {
	r.swapService(r.serviceHost(service.Namespace, service.Name), service)
}

// DeleteService forgets a Service.
func (r *Registry) DeleteService(namespace, name string) {
	r.swapService(r.serviceHost(namespace, name), nil)
}

func (r *Registry) swapService(host string, next *corev1.Service) {
	r.mu.Lock()
	last := r.services[host]
	if next == nil {
		delete(r.services, host)
	} else {
		r.services[host] = next
	}
	var hosts []string
	if gw, is := r.mesh.GatewayByService(host); is && !slices.Equal(preflight.Service(gw, last), preflight.Service(gw, next)) {
		for _, entry := range r.entries {
			if entry.Gateway == gw.Name {
				hosts = append(hosts, entry.Hosts...)
			}
		}
	}
	r.mu.Unlock()
	r.notify(hosts)
}

// GatewayProblems says why a gateway's Service cannot carry calls.
func (r *Registry) GatewayProblems(gw egress.Gateway) []preflight.Problem {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return preflight.Service(gw, r.services[gw.Service])
}

func (r *Registry) serviceHost(namespace, name string) string {
	return name + "." + namespace + ".svc." + r.mesh.ClusterDomain
}
