package egress

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

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

// Differs returns how another definition of a host differs from the one that counts, "" when it does not.
func (d Definition) Differs(other Definition) string {
	if d.Resolution != other.Resolution {
		return fmt.Sprintf("its resolution is %s there and %s here", d.Resolution, other.Resolution)
	}
	ports := map[uint32]Port{}
	for _, port := range d.Ports {
		ports[port.Number] = port
	}
	for _, port := range other.Ports {
		theirs, ok := ports[port.Number]
		switch {
		case !ok:
			return fmt.Sprintf("port %d is not declared there", port.Number)
		case theirs.Protocol != port.Protocol:
			return fmt.Sprintf("port %d is %s there and %s here", port.Number, theirs.Protocol, port.Protocol)
		case theirs.TargetPort != port.TargetPort:
			return fmt.Sprintf("port %d has another targetPort there", port.Number)
		}
		delete(ports, port.Number)
	}
	for _, port := range d.Ports {
		if _, missing := ports[port.Number]; missing {
			return fmt.Sprintf("port %d is declared there and not here", port.Number)
		}
	}
	if len(d.Endpoints) != len(other.Endpoints) || (len(d.Endpoints) > 0 && !reflect.DeepEqual(d.Endpoints, other.Endpoints)) {
		return "its endpoints are others"
	}
	return ""
}
