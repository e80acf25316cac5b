package hop

import (
	"strings"

	"k8s.io/apimachinery/pkg/util/json"
)

// What any version stored stays readable: testdata/intent holds an example of each.

// decode reads a record. Whole numbers stay whole, as in the objects they go back into.
func decode(raw string) (record, error) {
	var out record
	if raw == "" {
		return nil, nil
	}
	return out, json.Unmarshal([]byte(raw), &out)
}

// entryV1 is what the first version wrote on a ServiceEntry: the author's fields, and the gateway in their place.
type entryV1 struct {
	Gateway    string  `json:"gateway"`
	Resolution *string `json:"resolution"`
	Endpoints  []any   `json:"endpoints"`
}

// decodeEntry reads the record of a ServiceEntry. Where the first version wrote it, endpoints are what stands there
// now, and atGateway says whether they are a gateway of today.
func decodeEntry(raw string, endpoints any, atGateway bool) (record, error) {
	if !strings.HasPrefix(strings.TrimSpace(raw), "{") {
		return decode(raw)
	}
	var v1 entryV1
	if err := json.Unmarshal([]byte(raw), &v1); err != nil {
		return nil, err
	}
	if !atGateway && (v1.Gateway == "" || soleAddress(endpoints) != v1.Gateway) {
		return nil, nil
	}
	at := &replaced{Now: endpoints, Paths: []string{endpointsPath}}
	if len(v1.Endpoints) > 0 {
		at.Was = v1.Endpoints
	}
	resolution := &replaced{Now: "DNS_ROUND_ROBIN", Paths: []string{resolutionPath}}
	if v1.Resolution != nil {
		resolution.Was = *v1.Resolution
	}
	if resolution.Was == "DNS" || resolution.Was == "STATIC" {
		resolution.Now = "DNS"
	}
	return record{at, resolution}, nil
}

// routeV1 is what the first version wrote on a VirtualService, in a list: an author's destination, and its fields.
type routeV1 struct {
	Destination map[string]any `json:"destination"`
	Fields      []string       `json:"fields"`
}

// decodeRoutes reads the record of a VirtualService. Where the first version wrote it, a gateway stood in the place of
// each destination: standing are the slots in which one does now.
func decodeRoutes(raw string, standing []slot) (record, error) {
	out, err := decode(raw)
	if err != nil || len(out) == 0 || out[0] == nil || len(out[0].Paths) > 0 {
		return out, err
	}
	var v1 []*routeV1
	if err := json.Unmarshal([]byte(raw), &v1); err != nil {
		return nil, err
	}
	authored := map[string]any{}
	for _, item := range v1 {
		for _, path := range item.fields() {
			authored[path] = item.Destination
		}
	}
	out = nil
	for _, s := range standing {
		if was, known := authored[s.path]; known {
			out = append(out, &replaced{Was: was, Now: s.parent[s.key], Paths: []string{s.path}})
		}
	}
	return out, nil
}

func (r *routeV1) fields() []string {
	if r == nil {
		return nil
	}
	return r.Fields
}
