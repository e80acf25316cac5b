# METADATA
# title: Gateway API routes
# description: Routes of the Gateway API stay within the mesh, and hosts outside are a VirtualService's to route.
# custom:
#   fix: Lead to an external host by a VirtualService, which is led through the egress gateway.
#   kinds: [GRPCRoute, HTTPRoute, TCPRoute, TLSRoute]
#   parameters:
#     type: object
#     additionalProperties: false
#     properties:
#       allowedHosts:
#         description: External hosts that backends and mirrors may be.
#         type: array
#         uniqueItems: true
#         items:
#           type: string
#           pattern: '^(\*|(\*\.)?[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?)$'
package policies.gateway_api_routes

import data.policies.lib.hosts
import data.policies.lib.result

# METADATA
# title: External backend
# description: A backend or a mirror is a host outside the mesh.
# custom:
#   msg: backend %q is not in the mesh
#   fix: lead to it by a VirtualService, or ask the platform team to allow it (allowedHosts)
deny contains result.of(rego.metadata.rule(), route.field, [route.host], []) if {
	some route in input.egress.routes
	route.via != "mesh"
	not hosts.covered(route.host, _allowed)
}

# METADATA
# title: Entry as parent
# description: The route decides over the calls to a ServiceEntry's hosts.
# custom:
#   msg: ServiceEntry %q is the parent, so the route would decide over the calls to its hosts
#   fix: use a VirtualService for the host
deny contains result.of(rego.metadata.rule(), sprintf("spec.parentRefs[%d]", [i]), [object.get(parent, "name", "")], []) if {
	some i, parent in input.object.spec.parentRefs
	parent.kind == "ServiceEntry"
}

_allowed := {pattern | some pattern in object.get(input.parameters, "allowedHosts", [])}
