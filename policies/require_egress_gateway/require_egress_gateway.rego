# METADATA
# title: Require the egress gateway
# description: No route leads straight to an external host, from the mesh or from a gateway.
# custom:
#   fix: Leave the way to the gateway to egress-governor, and do not put other endpoints in its place.
#   kinds: [GRPCRoute, HTTPRoute, ServiceEntry, TCPRoute, TLSRoute, VirtualService]
#   baseline: {}
#   parameters:
#     type: object
#     additionalProperties: false
package policies.require_egress_gateway

import data.policies.lib.result

# METADATA
# title: Direct route
# description: Calls would go straight to the external host.
# custom:
#   msg: port %d of host %q would leave without passing an egress gateway
#   fix: declare the host with location MESH_EXTERNAL in a namespace that an egress gateway serves
deny contains result.of(rego.metadata.rule(), route.field, [route.port, route.host], []) if {
	some route in _direct
}

# The first of them: an object commonly leads thousands of routes to a few hosts, and an answer says twenty.
_direct := array.slice([route | some route in input.egress.routes; route.via == "direct"], 0, 100)
