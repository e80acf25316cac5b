package egress

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Definition is what one entry says of the exit leg of a host, spelling differences removed.
type Definition struct {
	// Resolution is DNS, DNS_ROUND_ROBIN or STATIC.
	Resolution string
	// Ports are sorted by number; their protocols are HTTP, HTTP2, TLS or another in upper case, their names
	// "<protocol>-<number>".
	Ports []Port
	// Endpoints are the author's, sorted, with those of their ports that differ from what Ports say, by the names in
	// Ports.
	Endpoints []Endpoint
	// TLS are the settings by which a DestinationRule encrypts calls, by the number of their port.
	TLS map[uint32]map[string]any
	// altNames are those that the host's certificate may have, where no rule says.
	altNames []string
	// digest is of all the above.
	digest digest
}

type digest [sha256.Size]byte

// Define returns the definition an entry's author gave. The entry must be the author's intent, not the sealed form.
func (s *ServiceEntry) Define() Definition {
	d := Definition{Resolution: s.Resolution, altNames: s.SubjectAltNames}
	switch d.Resolution {
	case "", "NONE":
		// A proxy under NONE keeps to the address that a client chose; so does the gateway to one that it resolved.
		d.Resolution = "DNS_ROUND_ROBIN"
	case "DYNAMIC_DNS":
		d.Resolution = "DNS"
	}
	names := map[string]Port{}
	for _, p := range s.Ports {
		canonical := Port{Number: p.Number, Protocol: onTheWire(p.Protocol), TargetPort: p.TargetPort}
		canonical.Name = fmt.Sprintf("%s-%d", strings.ToLower(canonical.Protocol), p.Number)
		if canonical.TargetPort == canonical.Number {
			canonical.TargetPort = 0
		}
		names[p.Name] = canonical
		d.Ports = append(d.Ports, canonical)
	}
	slices.SortFunc(d.Ports, func(a, b Port) int { return cmp.Compare(a.Number, b.Number) })
	for _, e := range s.Endpoints {
		ports := map[string]uint32{}
		for name, number := range e.Ports {
			if port, ok := names[name]; ok && number != cmp.Or(port.TargetPort, port.Number) {
				ports[port.Name] = number
			}
		}
		e.Ports = ports
		d.Endpoints = append(d.Endpoints, e)
	}
	slices.SortStableFunc(d.Endpoints, func(a, b Endpoint) int { return cmp.Compare(a.Address, b.Address) })
	return d.digested()
}

func (d Definition) digested() Definition {
	raw, _ := json.Marshal(d) // plain strings and numbers always encode
	d.digest = sha256.Sum256(raw)
	return d
}

// onTheWire is the protocol of those that a gateway passes on alike.
func onTheWire(protocol string) string {
	switch protocol = strings.ToUpper(protocol); protocol {
	case "HTTPS":
		return "TLS"
	case "GRPC", "GRPC-WEB":
		return "HTTP2"
	}
	return protocol
}

// Equal says whether two definitions are the same.
func (d Definition) Equal(other Definition) bool { return d.digest == other.digest }

// at returns where the endpoints take the calls of a port, in their order.
func (d Definition) at(port Port) []uint32 {
	out := []uint32{port.TargetPort}
	for _, endpoint := range d.Endpoints {
		out = append(out, endpoint.Ports[port.Name])
	}
	return out
}

// static says whether addresses are given, and not asked for.
func (d Definition) static() bool { return d.Resolution == "STATIC" }

// contradicts says in what two definitions of a host cannot both be right whatever their ports, "" for nothing.
func (d Definition) contradicts(other Definition) string {
	if d.static() != other.static() {
		return fmt.Sprintf("its resolution is %s there and %s here", d.Resolution, other.Resolution)
	}
	if !d.EndsAs(other) {
		return "its endpoints are others"
	}
	return ""
}

// EndsAs says whether two definitions of a host have the same endpoints, whatever their ports.
func (d Definition) EndsAs(other Definition) bool {
	withoutPorts := func(of Endpoint) Endpoint {
		of.Ports = nil
		return of
	}
	return slices.EqualFunc(d.Endpoints, other.Endpoints, func(a, b Endpoint) bool {
		return reflect.DeepEqual(withoutPorts(a), withoutPorts(b))
	})
}

// with returns the definition with a port of another, whose endpoints are the same.
func (d Definition) with(port Port, from Definition) Definition {
	out := d
	out.Ports = append(slices.Clone(d.Ports), port)
	slices.SortFunc(out.Ports, func(a, b Port) int { return cmp.Compare(a.Number, b.Number) })
	out.Endpoints = slices.Clone(d.Endpoints)
	for i := range out.Endpoints {
		if number := from.Endpoints[i].Ports[port.Name]; number != 0 {
			out.Endpoints[i].Ports = maps.Clone(out.Endpoints[i].Ports)
			out.Endpoints[i].Ports[port.Name] = number
		}
	}
	return out.digested()
}

func (d Definition) has(port uint32) bool {
	return slices.ContainsFunc(d.Ports, func(p Port) bool { return p.Number == port })
}

// only returns the definition without the ports that do not satisfy a condition.
func (d Definition) only(keep func(port Port) bool) Definition {
	d.Ports = slices.DeleteFunc(slices.Clone(d.Ports), func(port Port) bool { return !keep(port) })
	return d
}

// PortsOf returns the numbers of the ports of a family, in their order.
func PortsOf(ports []Port, family Family) (out []uint32) {
	for _, port := range ports {
		if FamilyOf(port.Protocol) == family {
			out = append(out, port.Number)
		}
	}
	return out
}
