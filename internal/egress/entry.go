package egress

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
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
	spec, _, err := unstructured.NestedMap(obj.Object, "spec")
	if err != nil {
		return nil, fmt.Errorf("spec: %w", err)
	}
	var se ServiceEntry
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(spec, &se); err != nil {
		return nil, fmt.Errorf("spec: %w", err)
	}
	return &se, nil
}

// External says whether the hosts lie outside the mesh; Istio's default.
func (s *ServiceEntry) External() bool { return s.Location != "MESH_INTERNAL" }

// Definition is what the exit leg of a host is built from: two entries with equal definitions share one exit.
type Definition struct {
	// Resolution is DNS, DNS_ROUND_ROBIN or STATIC.
	Resolution string
	// Ports are sorted by number, protocols in upper case, names "<protocol>-<number>".
	Ports []Port
	// Endpoints are the author's, their ports keyed by the names in Ports.
	Endpoints []Endpoint
}

// Define returns the definition an entry's author gave, spelling differences removed. The entry must be the
// author's intent, not the sealed form.
func (s *ServiceEntry) Define() Definition {
	d := Definition{Resolution: s.Resolution}
	if d.Resolution == "" || d.Resolution == "NONE" {
		d.Resolution = "DNS"
	}
	names := map[string]string{}
	for _, p := range s.Ports {
		canonical := Port{Number: p.Number, Protocol: strings.ToUpper(p.Protocol), TargetPort: p.TargetPort}
		canonical.Name = fmt.Sprintf("%s-%d", strings.ToLower(canonical.Protocol), p.Number)
		names[p.Name] = canonical.Name
		if canonical.TargetPort == canonical.Number {
			canonical.TargetPort = 0
		}
		d.Ports = append(d.Ports, canonical)
	}
	slices.SortFunc(d.Ports, func(a, b Port) int { return int(a.Number) - int(b.Number) })
	for _, e := range s.Endpoints {
		ports := map[string]uint32{}
		for name, number := range e.Ports {
			if canonical, ok := names[name]; ok {
				ports[canonical] = number
			}
		}
		e.Ports = ports
		d.Endpoints = append(d.Endpoints, e)
	}
	return d
}

// Entry is a stored ServiceEntry as the registry of hosts knows it.
type Entry struct {
	Namespace, Name string
	// UID tells a re-created entry from the one before.
	UID string
	// Created orders entries: the oldest defines a host.
	Created time.Time
	// Hosts are canonical.
	Hosts []string
	// External is false for MESH_INTERNAL.
	External bool
	// Gateway names the egress gateway the entry is sealed to; empty when it is not sealed.
	Gateway string
	// Ports are the entry's own, as written.
	Ports []Port
	// Definition is the author's intent.
	Definition Definition
}
