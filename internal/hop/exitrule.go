package hop

import (
	"maps"
	"slices"

	networking "istio.io/api/networking/v1alpha3"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// encryptedSubset names, in the exit's DestinationRule, the HTTP calls to a TLS port, which the gateway encrypts. Those of
// an app that speaks TLS itself do not go by it, and so are not encrypted twice.
const encryptedSubset = "encrypted"

// otherSubset names all other HTTP calls of such an exit, and says nothing of its own: Istio's analyzers complain of a host
// that some routes call by a subset and others without one.
const otherSubset = "other"

// httpDestination is where HTTP calls of an HTTP port are led on to.
func httpDestination(host string, port uint32, definition egress.Definition) *networking.Destination {
	out := destination(host, port)
	if slices.ContainsFunc(egress.PortsOf(definition.Ports, egress.FamilyTLS), func(port uint32) bool { return definition.TLS[port] != nil }) {
		out.Subset = otherSubset
	}
	return out
}

// exitRule says how the gateway calls a host, port by port: as the rules of all who share the exit have it, and
// encrypted where the exit is. Without anything to say it is nil.
func exitRule(namespace, host string, exit *egress.Exit) Object {
	var levels, encrypted []any
	for _, port := range exit.Open().Ports {
		settings, tls := unsorted(carried(exit.Rule.Beyond(port.Number)), exit.Definition), map[string]any{}
		if of := exit.Definition.TLS[port.Number]; of != nil {
			tls["tls"] = of
		}
		if egress.FamilyOf(port.Protocol) == egress.FamilyTLS && len(tls) > 0 {
			encrypted = append(encrypted, atPort(port.Number, settings, tls))
			tls = nil
		}
		if len(settings)+len(tls) > 0 {
			levels = append(levels, atPort(port.Number, settings, tls))
		}
	}
	if len(levels)+len(encrypted) == 0 {
		return nil
	}
	spec := map[string]any{"host": host, "exportTo": []any{"."}}
	if len(levels) > 0 {
		spec["trafficPolicy"] = map[string]any{"portLevelSettings": levels}
	}
	if len(encrypted) > 0 {
		spec["subsets"] = []any{map[string]any{
			"name": encryptedSubset, "trafficPolicy": map[string]any{"portLevelSettings": encrypted},
		}, map[string]any{"name": otherSubset}}
	}
	// Not typed: Istio's types write numbers of 64 bits, such as the size of a ring, as strings, which its CRD does not take.
	return untyped("DestinationRule", meta(namespace, exitName(host, host), host), runtime.DeepCopyJSON(spec))
}

func atPort(number uint32, settings ...map[string]any) map[string]any {
	out := map[string]any{"port": map[string]any{"number": int64(number)}}
	for _, some := range settings {
		maps.Copy(out, some)
	}
	return out
}
