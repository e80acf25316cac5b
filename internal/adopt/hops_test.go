package adopt_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

const gateway = "istio-egressgateway.istio-system.svc.cluster.local"

// hop is a hop of Istio's guides, with something more in its first route.
func hop(more string) []string {
	return []string{
		object("Gateway", "b", "hop", "{selector: {istio: egressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [api.example.com]}]}"),
		object("DestinationRule", "b", "hop", `{host: `+gateway+`, exportTo: ["."], subsets: [{name: hop}]}`),
		object("VirtualService", "b", "hop", `{hosts: [api.example.com], exportTo: ["."], gateways: [mesh, hop], http: [
  {match: [{gateways: [mesh], port: 80}], `+more+`route: [{destination: {host: `+gateway+`, subset: hop, port: {number: 80}}}]},
  {match: [{gateways: [hop], port: 80}], route: [{destination: {host: api.example.com, port: {number: 80}}}]}]}`),
	}
}

// TestHopsByHandAreKnown, and those are kept of which something would be lost.
func TestHopsByHandAreKnown(t *testing.T) {
	t.Parallel()
	api := entry("b", "api", "api.example.com", http)
	other := object("VirtualService", "b", "other", `{hosts: [other.example.com], exportTo: ["."], gateways: [hop], http: [{route: [{destination: {host: web.b.svc.cluster.local}}]}]}`)
	for name, each := range map[string]struct {
		stored []string
		want   []string
	}{
		"nothing but a hop": {append(hop(""), api), []string{"VirtualService b/hop[api.example.com]: ", "Gateway b/hop[]: ", "DestinationRule b/hop[]: "}},
		"a timeout": {append(hop("timeout: 3s, "), api), []string{
			"VirtualService b/hop[api.example.com]: spec.http[0] does more than lead to the gateway", "Gateway b/hop[]: VirtualService b/hop needs it", "DestinationRule b/hop[]: VirtualService b/hop needs it"}},
		"no entry": {hop(""), []string{
			"VirtualService b/hop[api.example.com]: no sealed entry has host api.example.com for all who see it", "Gateway b/hop[]: VirtualService b/hop needs it", "DestinationRule b/hop[]: VirtualService b/hop needs it"}},
		"a Gateway of others, too":   {append(hop(""), api, other), []string{"VirtualService b/hop[api.example.com]: ", "Gateway b/hop[]: VirtualService b/other needs it", "DestinationRule b/hop[]: "}},
		"routes that lead elsewhere": {[]string{api, object("VirtualService", "b", "api", `{hosts: [api.example.com], exportTo: ["."], http: [{route: [{destination: {host: api.example.com, port: {number: 80}}}]}]}`)}, nil},
	} {
		assert.Equal(t, each.want, hops(plan(t, objects(t, append([]string{governed}, each.stored...)...), "b")), name)
	}
}
