# METADATA
# title: Canonical hosts
# description: Hosts are written in the one form in which they are compared.
# custom:
#   fix: Write hosts in lower case, in ASCII, without a trailing dot, and wildcards of whole labels.
#   kinds: [DestinationRule, ServiceEntry, VirtualService]
#   baseline: {enforcement: Deny, parameters: {asStored: true}}
#   parameters:
#     type: object
#     additionalProperties: false
#     properties:
#       asStored: {type: boolean, description: Judge the spelling in which a host will be stored.}
package policies.canonical_hosts

import data.policies.lib.result

# METADATA
# title: Not canonical
# description: The host has upper case, a trailing dot or letters outside ASCII.
# custom:
#   msg: host %q is not in canonical form
#   fix: write %q
deny contains result.of(rego.metadata.rule(), host.field, [host.host], [host.canonical]) if {
	some host in input.egress.hosts
	not host.endpoint
	contains(host.host, ".")
	_spelled(host) != host.canonical
}

# METADATA
# title: Partial wildcard
# description: A wildcard that is not a whole label at the front matches hosts of other owners.
# custom:
#   msg: wildcard host %q is not a whole label
#   fix: write a wildcard as *.example.com
deny contains result.of(rego.metadata.rule(), host.field, [host.host], []) if {
	some host in input.egress.hosts
	not host.endpoint
	contains(trim_prefix(host.canonical, "*."), "*")
	host.canonical != "*"
}

# METADATA
# title: Address as host
# description: A host is an IP address.
# custom:
#   msg: host %q is an address
#   fix: name the host and put the address into spec.endpoints
deny contains result.of(rego.metadata.rule(), host.field, [host.host], []) if {
	input.kind == "ServiceEntry"
	some host in input.egress.hosts
	not host.endpoint
	host.ip
}

_spelled(host) := host.host if not input.parameters.asStored

# Letters are told apart by nobody who looks a host up.
_spelled(host) := lower(host.stored) if input.parameters.asStored
