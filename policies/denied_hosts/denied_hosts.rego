# METADATA
# title: Denied hosts
# description: Traffic does not leave for hosts that are listed, whoever else allows them.
# custom:
#   fix: Use another host, or ask the platform team to take it off the EgressPolicy.
#   kinds: [GRPCRoute, HTTPRoute, ServiceEntry, TCPRoute, TLSRoute, VirtualService, WorkloadEntry]
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
package policies.denied_hosts

import data.policies.lib.hosts
import data.policies.lib.result

# METADATA
# title: Host denied
# description: A host or an endpoint that the object leads traffic to is on the list, or a wildcard stands for one that is.
# custom:
#   msg: host %q is denied
#   fix: use another host, or ask the platform team to take it off this EgressPolicy
deny contains result.of(rego.metadata.rule(), host.field, [host.host], []) if {
	some host in input.egress.hosts
	host.leaves
	_denied(host)
}

_denied(host) if hosts.overlaps(host.canonical, input.parameters.hosts)

_denied(host) if {
	host.ip
	hosts.within(host.canonical, input.parameters.hosts)
}
