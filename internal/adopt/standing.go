package adopt

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/manifest"
	"github.com/egress-governor/egress-governor/internal/registry"
)

// Standing is what stands in for hops: the entries of a cluster.
type Standing struct {
	mesh       *egress.Mesh
	view       *registry.Registry
	namespaces []string
	// unready are sealed entries that do not carry calls, by namespace/name.
	unready map[string]bool
}

// NewStanding reads what a cluster has by now: its namespaces and ServiceEntries. A sealed entry carries calls once it is ready.
func NewStanding(mesh *egress.Mesh, stored []manifest.Object) (*Standing, error) {
	objects := make([]*unstructured.Unstructured, len(stored))
	for i, object := range stored {
		objects[i] = object.Unstructured
	}
	out, err := newStanding(mesh, objects)
	if err != nil {
		return nil, err
	}
	for _, object := range objects {
		told := registry.ToldOf(object)
		ready := told != nil && !told.Before(object.GetGeneration()) && told.Status == "True" && told.Reason == registry.ReasonConfigured
		out.unready[object.GetNamespace()+"/"+object.GetName()] = object.GetKind() == "ServiceEntry" && !ready
	}
	return out, nil
}

func newStanding(mesh *egress.Mesh, objects []*unstructured.Unstructured) (*Standing, error) {
	out := &Standing{mesh: mesh, view: registry.New(mesh), unready: map[string]bool{}}
	for _, object := range objects {
		if err := out.view.Put(object); err != nil {
			return nil, err
		}
		if object.GetKind() == "Namespace" {
			out.namespaces = append(out.namespaces, object.GetName())
		}
	}
	slices.Sort(out.namespaces)
	return out, nil
}

// Lacks says which of the calls that a hop leads would not go by sealed entries without it; empty where all do.
func (s *Standing) Lacks(of Hop) string {
	names, all := egress.Clients(of.seen.ExportTo, of.seen.Namespace)
	if all {
		names = s.namespaces
	}
	for _, each := range of.calls {
		if all && !slices.ContainsFunc(s.view.Entries(each.host), s.public) {
			return fmt.Sprintf("no sealed entry has host %s for all who see it", each.host)
		}
		for _, namespace := range names {
			if said := s.straight(each, namespace); said != "" && len(s.mesh.GatewaysIn(namespace)) == 0 {
				return said
			}
		}
	}
	return ""
}

// public says whether everybody goes by an entry who has none of his own.
func (s *Standing) public(entry *egress.Entry) bool {
	_, everybody := egress.Clients(entry.ExportTo, entry.Namespace)
	return everybody && s.lacks(entry) == ""
}

// lacks says what an entry is not whose calls no exit carries.
func (s *Standing) lacks(entry *egress.Entry) string {
	switch {
	case entry.Gateway == "":
		return "not sealed"
	case s.unready[entry.Namespace+"/"+entry.Name]:
		return "not ready"
	}
	return ""
}

// straight says that a namespace makes calls which no sealed entry carries; empty where one does.
func (s *Standing) straight(of call, namespace string) string {
	for _, host := range s.hosts(of.host) {
		entries := s.view.Entries(host)
		serving := egress.Serving(entries, namespace)
		if serving == nil && host != of.host {
			continue // calls of the name go by the wildcard
		}
		var ports []egress.Port
		for _, entry := range entries {
			// Istio takes several of one namespace for one where they are alike, and else any of them.
			if serving == nil || entry.Namespace != serving.Namespace || !egress.Exports(entry.ExportTo, entry.Namespace, namespace) {
				continue
			}
			if said := s.lacks(entry); said != "" {
				return fmt.Sprintf("ServiceEntry %s/%s, by which namespace %s calls host %s, is %s", entry.Namespace, entry.Name, namespace, host, said)
			}
			ports = append(ports, entry.Ports...)
		}
		if len(ports) == 0 {
			return fmt.Sprintf("no sealed entry has host %s for namespace %s", host, namespace)
		}
		if host == of.host && !slices.ContainsFunc(ports, of.goesBy) {
			return fmt.Sprintf("no sealed entry has %s of host %s for namespace %s", of, host, namespace)
		}
	}
	return ""
}

// hosts are a host, and those of entries below it.
func (s *Standing) hosts(host string) []string {
	out := append(s.view.Below(host), host)
	slices.Sort(out)
	return slices.Compact(out)
}

// goesBy says whether calls are made by a port of an entry.
func (c call) goesBy(port egress.Port) bool {
	ofHTTP := egress.FamilyOf(port.Protocol) == egress.FamilyHTTP
	return (c.port == 0 || c.port == port.Number) && (c.section == "" || ofHTTP == (c.section == "http"))
}

// String is how a sentence has what calls are made to.
func (c call) String() string {
	kind := "TLS or TCP"
	if c.section == "http" {
		kind = "HTTP"
	}
	if c.port == 0 {
		return "a port of " + kind
	}
	return fmt.Sprintf("port %d of %s", c.port, kind)
}
