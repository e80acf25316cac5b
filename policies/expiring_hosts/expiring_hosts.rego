# METADATA
# title: Expiring hosts
# description: Hosts that are listed are allowed up to a day; the policy warns before it and denies after it. It says nothing of other hosts.
# custom:
#   fix: Move to another host, or ask the platform team for more time.
#   kinds: [GRPCRoute, HTTPRoute, ServiceEntry, TCPRoute, TLSRoute, VirtualService]
#   parameters:
#     type: object
#     additionalProperties: false
#     required: [hosts]
#     properties:
#       warnDays: {type: integer, description: How many days before a host is denied the policy warns; 14 by default., minimum: 0}
#       hosts:
#         description: The hosts whose time ends; it says nothing of others.
#         type: array
#         items:
#           type: object
#           additionalProperties: false
#           required: [host, until]
#           properties:
#             host:
#               description: 'A host, or *.example.com for every host below it.'
#               type: string
#               pattern: '^(\*|(\*\.)?[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?)$'
#             until:
#               description: 'A day, which counts to its end, or a time in UTC.'
#               type: string
#               anyOf: [{format: date}, {format: date-time, pattern: 'Z$'}]
package policies.expiring_hosts

import data.policies.lib.hosts
import data.policies.lib.result

# METADATA
# title: Host expired
# description: The host was allowed up to a time that is over.
# custom:
#   msg: host %q was allowed until %s
#   fix: move to another host, or ask the platform team for more time
deny contains result.of(rego.metadata.rule(), host.field, [host.host, _day(end)], []) if {
	some [host, end] in _ends
	end < _now
}

# METADATA
# title: Host expires
# description: The host will be denied in a few days.
# custom:
#   msg: host %q is allowed until %s, and then denied
#   fix: move to another host, or ask the platform team for more time
warn contains result.of(rego.metadata.rule(), host.field, [host.host, _day(end)], []) if {
	some [host, end] in _ends
	end >= _now
	end - _now < (object.get(input.parameters, "warnDays", 14) * 86400) * 1000000000
}

_now := time.parse_rfc3339_ns(input.time)

# The last of the days that a host is allowed to; of a wildcard that stands for several, the first.
_ends contains [host, max(ends)] if {
	some host in input.egress.hosts
	host.leaves
	ends := {_end(item.until) | some item in input.parameters.hosts; hosts.covered(host.canonical, [item.host])}
	count(ends) > 0
}

_ends contains [host, min(ends)] if {
	some host in input.egress.hosts
	host.leaves
	every item in input.parameters.hosts {
		not hosts.covered(host.canonical, [item.host])
	}
	ends := {_end(item.until) | some item in input.parameters.hosts; hosts.overlaps(host.canonical, [item.host])}
	count(ends) > 0
}

# A day counts to its end.
_end(until) := time.parse_rfc3339_ns(until) if contains(until, "T")

_end(until) := time.parse_rfc3339_ns(concat("", [until, "T23:59:59Z"])) if not contains(until, "T")

_day(end) := time.format([end, "UTC", "2006-01-02"])
