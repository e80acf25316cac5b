# METADATA
# title: No wildcards
# description: Hosts are named one by one.
# custom:
#   fix: Name each host, or ask the platform team to allow the wildcard.
#   kinds: [ServiceEntry, VirtualService]
#   parameters:
#     type: object
#     additionalProperties: false
#     properties:
#       allowed:
#         description: Wildcards that may be named.
#         type: array
#         uniqueItems: true
#         items:
#           type: string
#           pattern: '^(\*|\*\.[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?)$'
package policies.no_wildcards

import data.policies.lib.hosts
import data.policies.lib.result

# METADATA
# title: Wildcard host
# description: The host stands for more than itself, and is not allowed to.
# custom:
#   msg: host %q stands for more hosts than one
#   fix: name each host, or ask the platform team to allow the wildcard
deny contains result.of(rego.metadata.rule(), host.field, [host.host], []) if {
	some host in input.egress.hosts
	host.wildcard
	not host.inMesh
	not hosts.covered(host.canonical, _allowed)
}

_allowed := {pattern | some pattern in object.get(input.parameters, "allowed", [])}
