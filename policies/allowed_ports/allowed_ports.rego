# METADATA
# title: Allowed ports
# description: Traffic leaves on the ports that are listed, each with the protocols that it carries.
# custom:
#   fix: Declare the port with its own protocol, or ask the platform team to allow it.
#   kinds: [ServiceEntry]
#   parameters:
#     type: object
#     additionalProperties: false
#     properties:
#       ports:
#         description: 'The ports that are allowed; 80 with HTTP, HTTP2 and GRPC, 443 with TLS and HTTPS by default.'
#         type: array
#         items:
#           type: object
#           additionalProperties: false
#           required: [port, protocols]
#           properties:
#             port: {type: integer, description: The number of the port., minimum: 1, maximum: 65535}
#             protocols:
#               description: What it may carry.
#               type: array
#               items:
#                 type: string
#                 enum: [HTTP, HTTP2, GRPC, GRPC-WEB, HTTPS, TLS, TCP, MONGO, MYSQL, REDIS]
package policies.allowed_ports

import data.policies.lib.hosts
import data.policies.lib.result

# METADATA
# title: Port not allowed
# description: The entry opens a port that is not listed with this protocol.
# custom:
#   msg: port %d with protocol %s is not allowed
#   fix: 'declare what the port carries, or ask the platform team to allow it; allowed are: %s'
deny contains result.of(rego.metadata.rule(), route.field, [route.port, route.protocol], [hosts.listed(_listed)]) if {
	some route in input.egress.routes
	route.via in {"direct", "gateway"}
	route.from == "mesh"
	not [route.port, upper(route.protocol)] in _pairs
}

# METADATA
# title: Target port not allowed
# description: The gateway would call a port that is not listed with any protocol.
# custom:
#   msg: port %d of %q, where the calls really go, is not allowed
#   fix: remove targetPort and the endpoints' ports, or ask the platform team to allow the port
deny contains result.of(rego.metadata.rule(), route.field, [route.port, route.host], []) if {
	some route in input.egress.routes
	route.via in {"direct", "gateway"}
	route.from == "gateway"
	not route.port in {pair[0] | some pair in _pairs}
}

_ports := object.get(input.parameters, "ports", [
	{"port": 80, "protocols": ["HTTP", "HTTP2", "GRPC", "GRPC-WEB"]},
	{"port": 443, "protocols": ["HTTPS", "TLS"]},
])

_pairs := {[item.port, protocol] |
	some item in _ports
	some protocol in item.protocols
}

_listed := {sprintf("%d with %s", pair) | some pair in _pairs}
