# METADATA
# title: Require the egress gateway
# description: No route of the mesh leads straight to an external host.
# custom:
#   fix: Leave the way to the gateway to egress-governor, and do not put other endpoints in its place.
#   parameters:
#     type: object
#     additionalProperties: false
package policies.require_egress_gateway

# METADATA
# title: Route bypasses the egress gateway
# description: Calls from the mesh would go straight to the external host.
deny contains result if {
	some route in input.egress.routes
	route.from == "mesh"
	route.via == "direct"
	result := {
		"code": "direct_route",
		"field": route.field,
		"msg": sprintf("port %d of host %q would leave without passing an egress gateway", [route.port, route.host]),
		"fix": "declare the host with location MESH_EXTERNAL in a namespace that an egress gateway serves",
	}
}
