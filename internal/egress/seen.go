package egress

import (
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Seen is a stored VirtualService, as those know it who see it.
type Seen struct {
	Namespace, Name string
	ExportTo        []string
	// Gateways are those of its routes that sidecars do not apply, as namespace/name.
	Gateways []string
}

// String is how an author finds it.
func (s *Seen) String() string { return "VirtualService " + s.Namespace + "/" + s.Name }

// MayCall says whether some of these Gateway objects are on proxies that call the hosts of entries as sidecars do, or may be.
func (s *Seen) MayCall(mesh *Mesh, view View) bool {
	bound := mesh.bound(s.Gateways, s.Namespace, view)
	return bound.Elsewhere || bound.Unknown != ""
}

// GatewaysAlone returns the Gateway objects of the routes of a VirtualService that sidecars do not apply, as namespace/name.
func GatewaysAlone(vs *unstructured.Unstructured) (out []string) {
	gateways := GatewayNames(vs)
	if len(gateways) == 0 {
		return nil
	}
	for _, route := range GatewayRoutes(vs) {
		if reachOf(gateways, route.Raw).Mesh {
			continue
		}
		out = append(out, route.Gateways...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// sees says whether a client of the entry sees the VirtualService.
func (e *Entry) sees(by *Seen) bool {
	return meet(e, &Entry{Namespace: by.Namespace, ExportTo: by.ExportTo})
}

// Exported says whether others than its own namespace see it.
func (s *Seen) Exported() bool { return ReachesOthers(s.ExportTo, s.Namespace) }
