# METADATA
# title: Gateway binding
# description: Nobody but the platform team opens servers or decides over calls on the pods of an egress gateway.
# custom:
#   fix: Remove it, since a ServiceEntry needs neither a Gateway nor a route on the egress gateway.
#   kinds: [Gateway, VirtualService]
#   baseline: {enforcement: Deny, parameters: {ownHosts: true}}
#   parameters:
#     type: object
#     additionalProperties: false
#     properties:
#       namespaces:
#         description: Namespaces that may.
#         type: array
#         uniqueItems: true
#         items: {type: string}
#       ownHosts: {type: boolean, description: Leave alone what acts on nothing but calls for hosts of the own namespace.}
package policies.gateway_binding

import data.policies.lib.result

# METADATA
# title: On the gateway
# description: A server or a route is on the pods of an egress gateway, which carry the calls of others.
# custom:
#   msg: it acts on the pods of an egress gateway, which carry the calls of others
#   fix: remove it; a ServiceEntry leads its calls through the egress gateway by itself
deny contains result.of(rego.metadata.rule(), field, [], []) if {
	some field in _fields
	not input.namespace.name in _allowed
}

_fields := input.egress.onGateways if not _own_hosts

# What is left is the hop of Istio's guides, for hosts that the namespace calls.
_fields := input.egress.onGatewaysForOthers if _own_hosts

_own_hosts if input.parameters.ownHosts

_allowed := {namespace | some namespace in object.get(input.parameters, "namespaces", [])}
