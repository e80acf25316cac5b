# METADATA
# title: Allowed hosts
# description: Traffic leaves the mesh only for hosts that are listed.
# custom:
#   fix: Add the host to the EgressPolicy, or use a host that is listed.
#   kinds: [GRPCRoute, HTTPRoute, ServiceEntry, TCPRoute, TLSRoute, VirtualService]
#   parameters:
#     type: object
#     additionalProperties: false
#     required: [hosts]
#     properties:
#       hosts:
#         description: 'Hosts, *.example.com for every host below it, * for all, addresses and ranges of addresses.'
#         type: array
#         uniqueItems: true
#         items:
#           type: string
#           format: host-or-cidr
#           pattern: '^(\*|(\*\.)?[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?|[0-9a-f.:]+(/[0-9]+)?)$'
package policies.allowed_hosts

import data.policies.lib.hosts
import data.policies.lib.result

# METADATA
# title: Host not allowed
# description: A host or an endpoint that the object leads traffic to is covered by no pattern of the list.
# custom:
#   msg: host %q is not allowed in namespace %q
#   fix: 'ask the platform team to add it to this EgressPolicy, %s'
deny contains result.of(rego.metadata.rule(), host.field, [host.host, input.client.name], [_otherwise]) if {
	some host in input.egress.hosts
	host.leaves
	not _covered(host)
}

# The patterns that cover the host are looked up, not the list searched.
# They are looked up in here: an undefined argument would make the whole denial undefined.
_covered(host) if {
	some pattern in host.patterns
	pattern in input.parameters.hosts
}

# An endpoint's address may be allowed by its range.
_covered(host) if {
	host.ip
	hosts.within(host.canonical, input.parameters.hosts)
}

default _otherwise := "which lists none yet"

_otherwise := sprintf("or use one of: %s", [hosts.listed(_allowed)]) if count(_allowed) > 0

default _allowed := set()

_allowed := input.parameters.hosts
