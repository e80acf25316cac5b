package window

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// promise is a call that an entry is for, in its terms.
type promise struct {
	Call
	protocol, exportTo string
}

// clients are the namespaces whose sidecars see an entry of a namespace.
func (p promise) clients(namespace string) (out []string) {
	for _, name := range strings.Fields(p.exportTo) {
		if name == "." {
			name = namespace
		}
		if _, is := namespaces[name]; is {
			out = append(out, name)
		}
	}
	return out
}

// promisesOf returns what an entry is for.
func promisesOf(entry *unstructured.Unstructured) (out []promise) {
	raw, err := json.Marshal(entry.Object["spec"])
	var of struct {
		Hosts, ExportTo []string
		Ports           []struct {
			Number   uint32
			Protocol string
		}
	}
	if err != nil || json.Unmarshal(raw, &of) != nil {
		return nil
	}
	if len(of.ExportTo) == 0 {
		of.ExportTo = []string{"."}
	}
	for _, host := range of.Hosts {
		for _, port := range of.Ports {
			out = append(out, promise{Call{strings.ToLower(host), port.Number}, port.Protocol, strings.Join(of.ExportTo, " ")})
		}
	}
	return out
}

// promises are those of stored entries, by namespace/name, and which calls stand by them in the sidecars of a namespace: these
// must never lose their way, whatever else is written.
type promises struct {
	mu       sync.Mutex
	of       map[string][]promise
	standing map[string]map[Call]bool
}

// judge has a state judged under what stands in a namespace.
func (p *promises) judge(namespace string, judge func(standing map[Call]bool) []string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return judge(p.standing[namespace])
}

// set has the calls of these entries stand, in every sidecar that sees them, and returns them.
func (p *promises) set(of map[string][]promise) map[string]map[Call]bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.of, p.standing = of, map[string]map[Call]bool{}
	out := map[string]map[Call]bool{}
	for name, all := range of {
		namespace, _, _ := strings.Cut(name, "/")
		for _, each := range all {
			for _, client := range each.clients(namespace) {
				if p.standing[client] == nil {
					p.standing[client], out[client] = map[Call]bool{}, map[Call]bool{}
				}
				if client == namespace || !p.own(client, each.Host) {
					p.standing[client][each.Call], out[client][each.Call] = true, true
				}
			}
		}
	}
	return out
}

// own says whether a namespace's sidecars go by entries of its own for a host: Istio takes these, with the ports that they
// have, before those that others export.
func (p *promises) own(namespace, host string) bool {
	for name, all := range p.of {
		if strings.HasPrefix(name, namespace+"/") && slices.ContainsFunc(all, func(of promise) bool {
			return of.Host == host && slices.Contains(of.clients(namespace), namespace)
		}) {
			return true
		}
	}
	return false
}

// withdraw has what an entry promises stand no longer, but what is written in its place promises in the same terms. It is
// called before anything is written.
func (p *promises) withdraw(namespace, name string, written *unstructured.Unstructured) {
	var kept []promise
	if written != nil {
		kept = promisesOf(written)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, of := range p.of[namespace+"/"+name] {
		if slices.Contains(kept, of) {
			continue
		}
		for _, client := range of.clients(namespace) {
			delete(p.standing[client], of.Call)
		}
	}
	for _, of := range kept {
		if !p.own(namespace, of.Host) {
			// What others export of the host stands back behind it.
			maps.DeleteFunc(p.standing[namespace], func(call Call, _ bool) bool { return call.Host == of.Host })
		}
	}
}

// moves has only what a namespace's own entries promise it stand while it moves: no entry is exported beyond its gateway.
func (p *promises) moves(namespace string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, all := range p.of {
		of, _, _ := strings.Cut(name, "/")
		for _, promise := range all {
			for _, client := range promise.clients(of) {
				if client != of && (client == namespace || of == namespace) {
					delete(p.standing[client], promise.Call)
				}
			}
		}
	}
}
