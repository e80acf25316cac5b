package hop

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// routeIntent is the content of IntentAnnotation on a VirtualService: each destination of the author's, and the fields
// it stood in. One destination commonly stands in many.
type routeIntent []*replaced

type replaced struct {
	Destination map[string]any `json:"destination"`
	Fields      []string       `json:"fields"`
}

// add records a destination before it is replaced.
func (i *routeIntent) add(d egress.Destination) {
	for _, known := range *i {
		if reflect.DeepEqual(known.Destination, d.Raw) {
			known.Fields = append(known.Fields, d.Field)
			return
		}
	}
	*i = append(*i, &replaced{Destination: maps.Clone(d.Raw), Fields: []string{d.Field}})
}

// byField returns the author's destinations by the field they stood in.
func (i routeIntent) byField() map[string]map[string]any {
	out := map[string]map[string]any{}
	for _, item := range i {
		if item == nil {
			continue
		}
		for _, field := range item.Fields {
			out[field] = item.Destination
		}
	}
	return out
}

// Inject returns the VirtualService with every destination that leads straight from the mesh to a sealed external
// host replaced by the gateway's Service, and the author's destinations in IntentAnnotation. A destination whose
// meaning could change stays: the sealed entry carries it to the gateway all the same. Injecting twice changes
// nothing. The error is Refusals when the annotation does not decode.
func Inject(vs *unstructured.Unstructured, mesh *egress.Mesh, world egress.World) (*unstructured.Unstructured, error) {
	out, err := Intent(vs, mesh)
	if err != nil {
		return nil, err
	}
	authored := out.DeepCopy()
	var intent routeIntent
	for _, d := range egress.Destinations(out) {
		gw, ok := hopFor(out, d, mesh, world)
		if !ok {
			continue
		}
		intent.add(d)
		d.Raw["host"] = gw.Service
		d.Raw["port"] = map[string]any{"number": int64(gw.Port(d.Family()))}
	}
	if len(intent) == 0 {
		return out, nil
	}
	annotation, err := json.Marshal(intent)
	if err != nil {
		return nil, fmt.Errorf("encode intent: %w", err)
	}
	if err := annotate(out, string(annotation)); err != nil {
		// Too many routes to remember: they stay, and the sealed entries carry them.
		return authored, nil //nolint:nilerr // not an error of the object
	}
	return out, nil
}

// restoreRoutes puts the author's destinations back where the gateway still stands in their place.
func restoreRoutes(vs *unstructured.Unstructured, raw string, mesh *egress.Mesh) error {
	if raw == "" {
		return nil
	}
	var intent routeIntent
	if err := decode(raw, &intent); err != nil {
		return badAnnotation(err)
	}
	authored := intent.byField()
	for _, d := range egress.Destinations(vs) {
		original, ok := authored[d.Field]
		if _, injected := mesh.GatewayByService(d.Host()); !ok || !injected {
			continue
		}
		clear(d.Raw)
		for key, value := range original {
			d.Raw[key] = plain(value)
		}
	}
	return nil
}

// hopFor returns the gateway that may stand in a destination's place without changing what the route means.
func hopFor(vs *unstructured.Unstructured, d egress.Destination, mesh *egress.Mesh, world egress.World) (egress.Gateway, bool) {
	none := egress.Gateway{}
	reach := egress.ReachOf(vs, d.Route)
	if !reach.Mesh || reach.Gateway || d.Raw["subset"] != nil {
		return none, false
	}
	host := mesh.Qualify(d.Host(), vs.GetNamespace())
	entries := world.Entries(host)
	if len(entries) == 0 || !entries[0].External {
		return none, false
	}
	entry := entries[0]
	gw, ok := mesh.GatewayByName(entry.Gateway)
	if !ok || gw.Port(d.Family()) == 0 || world.HasTrafficPolicy(vs.GetNamespace(), host) {
		return none, false
	}
	targets := egress.Targets(vs, d)
	if len(targets) == 0 {
		return none, false
	}
	for _, target := range targets {
		if !target.Certain || mesh.Qualify(target.Host, vs.GetNamespace()) != host {
			return none, false
		}
	}
	return gw, samePort(d, entry.Ports) && sameProtocol(d, entry.Ports, gw, world)
}

// samePort says whether the gateway, which sees only the Host header or the SNI, sends the call to the port that the
// route names.
func samePort(d egress.Destination, ports []egress.Port) bool {
	var family []uint32
	for _, port := range ports {
		if egress.FamilyOf(port.Protocol) == d.Family() {
			family = append(family, port.Number)
		}
	}
	want := d.Port()
	switch {
	case len(family) == 0:
		return false
	case want == 0:
		return len(ports) > 1 || egress.FamilyOf(ports[0].Protocol) == d.Family()
	case len(family) == 1:
		return family[0] == want
	}
	known := false
	for _, number := range family {
		known = known || number == want
	}
	matches := egress.Matches(d.Route)
	for _, match := range matches {
		if !egress.MatchesPort(match, want) {
			return false
		}
	}
	return known && len(matches) > 0
}

// sameProtocol says whether the gateway's Service port speaks what the host's ports speak: through a port that Istio
// takes for HTTP/1.1, HTTP/2 and gRPC would lose streams and trailers.
func sameProtocol(d egress.Destination, ports []egress.Port, gw egress.Gateway, world egress.World) bool {
	if d.Family() != egress.FamilyHTTP {
		return true
	}
	for _, port := range ports {
		if egress.FamilyOf(port.Protocol) != egress.FamilyHTTP || egress.IsHTTP1(port.Protocol) {
			continue
		}
		if carrier := world.ServicePortProtocol(gw.Service, gw.HTTPPort); carrier != "HTTP2" && carrier != "GRPC" {
			return false
		}
	}
	return true
}
