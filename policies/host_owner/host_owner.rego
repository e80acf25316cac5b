# METADATA
# title: Host owner
# description: Hosts belong to namespaces, and nobody else's entry or route takes them.
# custom:
#   fix: Call the host by an entry of its owner's, or ask the platform team to make the namespace an owner.
#   kinds: [ServiceEntry, VirtualService]
#   parameters:
#     type: object
#     additionalProperties: false
#     required: [owners]
#     properties:
#       owners:
#         description: Who owns which hosts; it says nothing of hosts that nobody owns.
#         type: array
#         items:
#           type: object
#           additionalProperties: false
#           required: [hosts, namespaces]
#           properties:
#             hosts:
#               description: 'Hosts, or *.example.com for every host below it.'
#               type: array
#               items:
#                 type: string
#                 pattern: '^(\*|(\*\.)?[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?)$'
#             namespaces:
#               description: Their owners.
#               type: array
#               items:
#                 type: string
#                 pattern: '^[a-z0-9]([a-z0-9-]*[a-z0-9])?$'
package policies.host_owner

import data.policies.lib.hosts
import data.policies.lib.result

# METADATA
# title: Host of others
# description: The object names a host, or one below a wildcard, that belongs to other namespaces.
# custom:
#   msg: host %q belongs to %s, and not to namespace %q
#   fix: call the host by an entry of its owner's, or ask the platform team to make the namespace an owner
deny contains result.of(rego.metadata.rule(), host.field, [host.host, hosts.listed(owners), input.namespace.name], []) if {
	some host in input.egress.hosts
	_taken(host)
	owners := {namespace |
		some owner in input.parameters.owners
		hosts.overlaps(host.canonical, owner.hosts)
		some namespace in owner.namespaces
	}
	count(owners) > 0
	not input.namespace.name in owners
}

# An entry takes the hosts that it names, and a route the calls of those that it is for.
_taken(host) if {
	input.kind == "ServiceEntry"
	not host.endpoint
}

_taken(host) if {
	input.kind == "VirtualService"
	startswith(host.field, "spec.hosts[")
}
