package egress

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ServiceEntry is the part of a ServiceEntry's spec that governs egress, with the field names of Istio's API.
type ServiceEntry struct {
	Hosts            []string       `json:"hosts"`
	Addresses        []string       `json:"addresses"`
	Ports            []Port         `json:"ports"`
	Location         string         `json:"location"`
	Resolution       string         `json:"resolution"`
	Endpoints        []Endpoint     `json:"endpoints"`
	WorkloadSelector map[string]any `json:"workloadSelector"`
	ExportTo         []string       `json:"exportTo"`
	SubjectAltNames  []string       `json:"subjectAltNames"`
	// AtAddress says that the only endpoint is not written as one: it is the entry's only address.
	AtAddress bool `json:"-"`
}

// Port is a port of a ServiceEntry.
type Port struct {
	Number     uint32 `json:"number"`
	Protocol   string `json:"protocol"`
	Name       string `json:"name"`
	TargetPort uint32 `json:"targetPort"`
}

// Endpoint is an endpoint of a ServiceEntry, as the author wrote it.
type Endpoint struct {
	Address        string            `json:"address"`
	Ports          map[string]uint32 `json:"ports,omitempty"`
	Labels         map[string]string `json:"labels,omitempty"`
	Network        string            `json:"network,omitempty"`
	Locality       string            `json:"locality,omitempty"`
	Weight         uint32            `json:"weight,omitempty"`
	ServiceAccount string            `json:"serviceAccount,omitempty"`
}

// ParseServiceEntry reads the spec of a raw ServiceEntry.
func ParseServiceEntry(obj *unstructured.Unstructured) (*ServiceEntry, error) {
	raw, given, _ := unstructured.NestedFieldNoCopy(obj.Object, "spec")
	spec, is := raw.(map[string]any)
	if given && !is {
		return nil, fmt.Errorf("spec: is no object, but %T", raw)
	}
	var se ServiceEntry
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(spec, &se); err != nil {
		return nil, fmt.Errorf("spec: %w", err)
	}
	return &se, nil
}

// ParseIntent reads a ServiceEntry as its author wrote it, by what a gateway makes of it: under resolution NONE calls go to the address that
// the client dialled, and where the entry has a single one, that is it.
func ParseIntent(obj *unstructured.Unstructured) (*ServiceEntry, error) {
	out, err := ParseServiceEntry(obj)
	if err != nil {
		return nil, err
	}
	out.AtAddress = false
	if !out.External() || out.Resolution != "" && out.Resolution != "NONE" || len(out.Addresses) != 1 || len(out.Endpoints)+len(out.WorkloadSelector) > 0 {
		return out, nil
	}
	if ip, single := SingleIP(out.Addresses[0]); single && !slices.ContainsFunc(out.Hosts, IsWildcard) {
		out.AtAddress, out.Resolution, out.Endpoints = true, "STATIC", []Endpoint{{Address: ip.String()}}
	}
	return out, nil
}

// EndpointPath is the field that says where an endpoint is.
func (s *ServiceEntry) EndpointPath(i int) *field.Path {
	if s.AtAddress {
		return field.NewPath("spec", "addresses").Index(0)
	}
	return field.NewPath("spec", "endpoints").Index(i).Child("address")
}

// External says whether the hosts lie outside the mesh; Istio's default.
func (s *ServiceEntry) External() bool { return s.Location != "MESH_INTERNAL" }

// Entry is a stored ServiceEntry as the registry of hosts knows it.
type Entry struct {
	Namespace, Name string
	// UID tells a re-created entry from the one before.
	UID string
	// Created orders entries: the oldest defines a host.
	Created time.Time
	// Terminating says that it is on its way out: it holds a host against no other.
	Terminating bool
	// Hosts are canonical.
	Hosts []string
	// External is false for MESH_INTERNAL.
	External bool
	// ExportTo holds the namespaces that see the entry, as stored; empty for all.
	ExportTo []string
	// Labels are the object's own, Resolution is as stored: by both Istio joins entries of one host in a namespace.
	Labels     map[string]string
	Resolution string
	// Gateway names the egress gateway the entry is sealed to, or that routes lead its calls to; empty for none. Transport is that of the form
	// in which it is sealed.
	Gateway   string
	Transport Transport
	// Led says that it is sealed to none: it is stored as it was written, and routes lead its calls to Gateway.
	Led bool
	// Waypoint is the one that a sealed entry is bound to; the zero value for none.
	Waypoint Waypoint
	// Observed says that its namespace is observed and no more governed: it keeps the exits that stand, makes none, and holds a
	// host against no other.
	Observed bool
	// Moving is the client leg that it is to be sealed to next: its namespace, or the gateway's transport, is another than
	// when it was stored. It is zero for most.
	Moving Leg
	// Passing says that it goes over to mutual TLS, or from it, while gateways take what comes under the SNI that proxies use by
	// themselves: no client rule stands beside it.
	Passing bool
	// Suspended says that it opens nothing: a policy denies what is stored. It holds its hosts against others all the same.
	Suspended bool
	// Accounts narrow its callers: service accounts by namespace, nil for those of all its clients.
	Accounts map[string][]string
	// Ports are the entry's own, as written.
	Ports []Port
	// Addresses are those at which clients listen for its calls, as stored.
	Addresses []string
	// Definition is the author's intent.
	Definition Definition
}

// Leg returns the client leg that the entry is sealed to.
func (e *Entry) Leg() Leg { return Leg{e.Gateway, e.Transport} }

// IsStraight says that the entry is sealed to no gateway, and routes lead its calls to none.
func (e *Entry) IsStraight() bool { return e != nil && e.Gateway == "" }

// legs returns all that its exit has to serve, now and next.
func (e *Entry) legs() []Leg {
	switch {
	case e.Moving == (Leg{}):
		return []Leg{e.Leg()}
	case e.Gateway == "":
		return []Leg{e.Moving}
	}
	return []Leg{e.Leg(), e.Moving}
}

// Older orders entries: negative where e comes before another.
func (e *Entry) Older(other *Entry) int {
	return cmp.Or(e.Created.Compare(other.Created), cmp.Compare(e.Namespace, other.Namespace), cmp.Compare(e.Name, other.Name))
}

// BySNI says whether a gateway that the entry is sealed to, or moves to, tells its TLS calls by what apps ask for. By mutual TLS it goes by
// the names that proxies have for ports.
func (e *Entry) BySNI() bool {
	return slices.ContainsFunc(e.legs(), func(leg Leg) bool { return leg.Transport != MutualTLS })
}

// ByMutualTLS returns those entries of a namespace that are sealed in the form of mutual TLS.
func ByMutualTLS(entries []*Entry, namespace string) (out []*Entry) {
	for _, entry := range entries {
		if entry.Namespace == namespace && entry.Gateway != "" && entry.Transport == MutualTLS {
			out = append(out, entry)
		}
	}
	return out
}

// Exits returns how many exits the entry takes at a gateway: its hosts, each as often as it has ports that a gateway by
// mutual TLS opens a door for.
func (e *Entry) Exits() int { return Exits(len(e.Hosts), e.Ports, e.Transport) }

// Exits is Entry.Exits of so many hosts with these ports.
func Exits(hosts int, ports []Port, transport Transport) int {
	if transport != MutualTLS {
		return hosts
	}
	return hosts * max(1, len(ports)-len(PortsOf(ports, FamilyHTTP)))
}
