package hop

import (
	"maps"
	"net/netip"
	"reflect"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/egress-governor/egress-governor/internal/egress"
)

const (
	endpointsPath  = "spec.endpoints"
	resolutionPath = "spec.resolution"
	hostsPath      = "spec.hosts"
	exportToPath   = "spec.exportTo"
	addressesPath  = "spec.addresses"
	locationPath   = "spec.location"
	altNamesPath   = "spec.subjectAltNames"
)

// EntryIntent returns a ServiceEntry as its author wrote it; one that was not sealed comes back as it is. The error is
// Refusals when the annotation does not decode. The result shares nothing with the entry.
func EntryIntent(entry *unstructured.Unstructured, mesh *egress.Mesh) (*unstructured.Unstructured, error) {
	out := entry.DeepCopy()
	raw := take(out)
	spec, ok := out.Object["spec"].(map[string]any)
	if !ok {
		return out, nil
	}
	endpoints := spec["endpoints"]
	_, atGateway := mesh.GatewayByService(soleAddress(endpoints))
	known, err := decodeEntry(raw, endpoints, atGateway)
	if err != nil {
		return nil, badAnnotation(err)
	}
	if atGateway {
		known = known.standing(endpointsPath, endpoints)
	}
	slots := entrySlots(spec)
	if spec["location"] != "MESH_INTERNAL" && namesGateway(spec, mesh) {
		slots = append(slots, slot{altNamesPath, spec, "subjectAltNames"})
	}
	known.restore(slots)
	unbind(out, known)
	return out, nil
}

// standing returns the record with a field taken as it stands: a gateway as the only endpoint is never an author's,
// whatever the record says.
func (r record) standing(path string, now any) record {
	for _, item := range r {
		if item != nil && slices.Contains(item.Paths, path) {
			item.Now = now
			return r
		}
	}
	return append(r, &replaced{Now: now, Paths: []string{path}})
}

func entrySlots(spec map[string]any) []slot {
	out := []slot{
		{hostsPath, spec, "hosts"}, {addressesPath, spec, "addresses"}, {exportToPath, spec, "exportTo"},
		{resolutionPath, spec, "resolution"}, {endpointsPath, spec, "endpoints"},
	}
	if spec["location"] == "MESH_INTERNAL" {
		return append(out, mutualSlots(spec)...)
	}
	return out
}

// mutualSlots are the fields that mutual TLS replaces besides.
func mutualSlots(spec map[string]any) []slot {
	return []slot{{locationPath, spec, "location"}, {altNamesPath, spec, "subjectAltNames"}}
}

// namesGateway says whether the names are a gateway's, and no author's: whoever applies his manifest anew writes the
// location and leaves them.
func namesGateway(spec map[string]any, mesh *egress.Mesh) bool {
	return slices.ContainsFunc(mesh.Gateways, func(gw egress.Gateway) bool {
		return reflect.DeepEqual(spec["subjectAltNames"], []any{mesh.IdentityOf(gw)})
	})
}

// Seal returns the ServiceEntry with the gateway as its only endpoint and the author's own fields in
// IntentAnnotation. An entry of the mesh's own (MESH_INTERNAL) comes back as its author wrote it. Sealing a sealed
// entry changes nothing. The error is Refusals when the entry cannot be expressed as a hop.
func Seal(entry *unstructured.Unstructured, gw egress.Gateway, mesh *egress.Mesh) (*unstructured.Unstructured, error) {
	out, err := EntryIntent(entry, mesh)
	if err != nil {
		return nil, err
	}
	parsed, err := ParseEntry(out)
	if err != nil {
		return out, err
	}
	return out, SealIntent(out, parsed, gw, mesh)
}

// SealIntent is Seal in place, of an entry as its author wrote it and ParseEntry reads it.
func SealIntent(entry *unstructured.Unstructured, parsed *egress.ServiceEntry, gw egress.Gateway, mesh *egress.Mesh) error {
	if !parsed.External() {
		return nil
	}
	if refusals := append(Check(parsed, gw, mesh), checkWaypoint(entry, gw)...); len(refusals) > 0 {
		return refusals
	}
	spec, _ := entry.Object["spec"].(map[string]any)
	sealed := transportOf(gw).seal(parsed, gw, mesh)
	sealed["hosts"] = canonicalHosts(parsed.Hosts)
	if len(parsed.Addresses) > 0 {
		sealed["addresses"] = singleAddresses(parsed.Addresses)
	}
	if exportTo, other := exported(parsed.ExportTo, mesh); other {
		sealed["exportTo"] = exportTo
	}
	var known recorder
	slots := entrySlots(spec)
	if sealed["location"] != nil {
		slots = append(slots, mutualSlots(spec)...)
	}
	for _, s := range slots {
		if now, replaces := sealed[s.key]; replaces {
			known.replace(s, now)
		}
	}
	bind(entry, gw, &known)
	return known.keep(entry, field.NewPath("spec", "endpoints"), "give fewer endpoints, or spread them over several entries")
}

// canonicalHosts is the one spelling in which proxies are told of hosts: two of one host in a listener make Envoy reject
// it, and the exit goes by this one.
func canonicalHosts(hosts []string) []any {
	out := make([]any, len(hosts))
	for i, host := range hosts {
		out[i] = egress.Canonical(host)
	}
	return out
}

// singleAddresses writes 203.0.113.7/32 as the address that it is: Istio takes no range beside the gateway's name.
func singleAddresses(addresses []string) []any {
	out := make([]any, len(addresses))
	for i, address := range addresses {
		out[i] = address
		if cidr, err := netip.ParsePrefix(address); err == nil && cidr.IsSingleIP() {
			out[i] = cidr.Addr().String()
		}
	}
	return out
}

// exported is the exportTo that is stored, and whether it is another than the author's. The namespaces of egress gateways
// are left out: a gateway would find the sealed entry before its own exit, and call itself; an entry for gateways alone
// is then exported to nobody. An entry whose author left exportTo out is its own namespace's where the operator says so, and
// where there are several gateways: Istio takes the oldest public entry of a host for every sidecar, by whichever gateway
// that is to leave.
func exported(exportTo []string, mesh *egress.Mesh) (out []any, other bool) {
	if len(exportTo) == 0 && (mesh.OwnNamespace || len(mesh.Gateways) > 1) {
		return []any{"."}, true
	}
	for _, namespace := range exportTo {
		if len(mesh.GatewaysIn(namespace)) > 0 {
			other = true
			continue
		}
		out = append(out, namespace)
	}
	if len(out) == 0 {
		out = []any{"~"}
	}
	return out, other
}

// ParseEntry reads a ServiceEntry. The error is Refusals.
func ParseEntry(entry *unstructured.Unstructured) (*egress.ServiceEntry, error) {
	out, err := egress.ParseIntent(entry)
	if err != nil {
		var refusals Refusals
		refusals.add("undecodable", field.NewPath("spec"), "is not a ServiceEntry's: "+err.Error(), "write the spec as Istio's API has it")
		return nil, refusals
	}
	return out, nil
}

// SealedTo returns the egress gateway that is a ServiceEntry's only endpoint.
func SealedTo(entry *unstructured.Unstructured, mesh *egress.Mesh) (egress.Gateway, bool) {
	spec, _ := entry.Object["spec"].(map[string]any)
	return mesh.GatewayByService(soleAddress(spec["endpoints"]))
}

// SealedBy returns the egress gateway that a ServiceEntry is sealed to, with the transport of that form; false where it is not.
func SealedBy(entry *unstructured.Unstructured, mesh *egress.Mesh) (egress.Gateway, bool) {
	gw, sealed := SealedTo(entry, mesh)
	if !sealed {
		return egress.Gateway{}, false
	}
	if location, _, _ := unstructured.NestedString(entry.Object, "spec", "location"); location == "MESH_INTERNAL" {
		return gw.By(egress.MutualTLS), true
	}
	return gw.By(egress.Plain), true
}

// SealedLeg returns the client leg of the form in which a ServiceEntry is sealed; false where it is not.
func SealedLeg(entry *unstructured.Unstructured, mesh *egress.Mesh) (egress.Leg, bool) {
	gw, sealed := SealedBy(entry, mesh)
	if !sealed {
		return egress.Leg{}, false
	}
	return gw.Leg(), true
}

// soleAddress returns the address of a list of one endpoint, empty for any other.
func soleAddress(endpoints any) string {
	list, _ := endpoints.([]any)
	if len(list) != 1 {
		return ""
	}
	endpoint, _ := list[0].(map[string]any)
	address, _ := endpoint["address"].(string)
	return address
}

// entryChecks are what an entry is held against, in the order of the answer.
var entryChecks = []func(*egress.ServiceEntry, egress.Gateway, *egress.Mesh) Refusals{
	checkHosts, checkPorts, checkResolution, checkEndpoints,
}

// Check returns why an external ServiceEntry, as its author wrote it, cannot be expressed as a hop through the
// gateway; nothing when it can. It also repeats those rules of Istio's own validation that sealing would hide from it.
func Check(entry *egress.ServiceEntry, gw egress.Gateway, mesh *egress.Mesh) Refusals {
	var out Refusals
	for _, check := range entryChecks {
		out = append(out, check(entry, gw, mesh)...)
	}
	return out
}

func sortedKeys[V any](of map[string]V) []string { return slices.Sorted(maps.Keys(of)) }
