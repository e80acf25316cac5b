package registry

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// ports has the entries by the numbers of their ports, and by what sidecars tell the calls of these apart by; and the
// Services by the numbers of their HTTP ports.
type ports struct {
	entries  map[portKey]map[types.NamespacedName]*egress.Entry
	services sets[uint32, string]
}

type portKey struct {
	number uint32
	family egress.Family
}

func newPorts() ports {
	return ports{entries: map[portKey]map[types.NamespacedName]*egress.Entry{}, services: sets[uint32, string]{}}
}

// add puts an entry in its places, remove takes it away; nil is no entry.
func (p ports) add(entry *egress.Entry) {
	if entry == nil {
		return
	}
	for _, port := range entry.Ports {
		key := portKey{port.Number, port.ToldBy()}
		if p.entries[key] == nil {
			p.entries[key] = map[types.NamespacedName]*egress.Entry{}
		}
		p.entries[key][types.NamespacedName{Namespace: entry.Namespace, Name: entry.Name}] = entry
	}
}

func (p ports) remove(entry *egress.Entry) {
	if entry == nil {
		return
	}
	for _, port := range entry.Ports {
		key := portKey{port.Number, port.ToldBy()}
		if delete(p.entries[key], types.NamespacedName{Namespace: entry.Namespace, Name: entry.Name}); len(p.entries[key]) == 0 {
			delete(p.entries, key)
		}
	}
}

// swapService puts a Service in the place of what its host had; nil is no Service.
func (p ports) swapService(host string, last, next *egress.Service) {
	for _, number := range httpPorts(last) {
		p.services.remove(number, host)
	}
	for _, number := range httpPorts(next) {
		p.services.add(number, host)
	}
}

// httpPorts are those at which sidecars listen for a Service's HTTP calls; they do not for another name of a host outside.
func httpPorts(service *egress.Service) (out []uint32) {
	if service == nil || service.ExternalName {
		return nil
	}
	for _, port := range service.Ports {
		if egress.FamilyOf(port.Protocol) == egress.FamilyHTTP {
			out = append(out, port.Number)
		}
	}
	return out
}

// OnPort implements egress.View.
func (r *Registry) OnPort(number uint32, family egress.Family) []*egress.Entry {
	r.mu.RLock()
	defer r.mu.RUnlock()
	on := r.ports.entries[portKey{number, family}]
	if len(on) == 0 {
		return nil
	}
	return slices.SortedFunc(maps.Values(on), (*egress.Entry).Older)
}

// HTTPService implements egress.View.
func (r *Registry) HTTPService(number uint32) string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return first(r.ports.services[number])
}

// DNSCapture implements egress.View.
func (r *Registry) DNSCapture() bool { return r.capture.Load() }

// SetDNSCapture takes in whether sidecars capture DNS.
func (r *Registry) SetDNSCapture(on bool) { r.capture.Store(on) }
