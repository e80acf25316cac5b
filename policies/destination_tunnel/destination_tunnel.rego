# METADATA
# title: Destination tunnel
# description: A DestinationRule does not have calls tunnelled to a host of its author's choice.
# custom:
#   fix: Name the host in a ServiceEntry instead of tunnelling to it.
#   kinds: [DestinationRule]
#   baseline: {}
#   parameters:
#     type: object
#     additionalProperties: false
#     properties:
#       allowedTargets:
#         description: 'Hosts, wildcards, addresses and ranges to which calls may be tunnelled; none by default.'
#         type: array
#         uniqueItems: true
#         items:
#           type: string
#           format: host-or-cidr
#           pattern: '^(\*|(\*\.)?[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?|[0-9a-f.:]+(/[0-9]+)?)$'
package policies.destination_tunnel

import data.policies.lib.hosts
import data.policies.lib.result

# METADATA
# title: Tunnel
# description: The host is asked by CONNECT to pass the calls on to another.
# custom:
#   msg: calls would be tunnelled to %q
#   fix: remove the tunnel and name the host in a ServiceEntry, or ask the platform team to allow it
deny contains result.of(rego.metadata.rule(), field, [target], []) if {
	walk(input.object.spec, [path, tunnel])
	path[count(path) - 1] == "tunnel"
	is_object(tunnel)
	target := object.get(tunnel, "targetHost", "")
	not hosts.within(target, _allowed)
	field := concat("", ["spec", concat("", [_part(step) | some step in path])])
}

_part(step) := sprintf("[%d]", [step]) if is_number(step)

_part(step) := concat("", [".", step]) if is_string(step)

_allowed := {pattern | some pattern in object.get(input.parameters, "allowedTargets", [])}
