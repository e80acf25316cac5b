# METADATA
# title: Workload entries
# description: Workloads that entries select are in the mesh, in ranges that are listed, or written down by who is trusted with any address.
# custom:
#   fix: Name an external host in a ServiceEntry, or ask the platform team to declare the range (meshCIDRs of the configuration).
#   kinds: [WorkloadEntry, WorkloadGroup]
#   baseline: {}
#   parameters:
#     type: object
#     additionalProperties: false
#     properties:
#       addresses:
#         description: Addresses, hosts and ranges that workloads may have, besides those of the mesh.
#         type: array
#         uniqueItems: true
#         items:
#           type: string
#           format: host-or-cidr
#           pattern: '^(\*|(\*\.)?[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?|[0-9a-f.:]+(/[0-9]+)?)$'
#       users:
#         description: Users who may write any. Not istiod's account, since it writes down what workloads say of themselves.
#         type: array
#         uniqueItems: true
#         items: {type: string}
#       groups: {type: array, description: Groups whose users may., uniqueItems: true, items: {type: string}}
package policies.workload_entries

import data.policies.lib.hosts
import data.policies.lib.result

# METADATA
# title: Workload outside
# description: The address is neither a Service's, nor in a range of the mesh, nor allowed.
# custom:
#   msg: address %q is not known to be in the mesh
#   fix: name an external host in a ServiceEntry, or ask the platform team to declare the range (meshCIDRs) or to allow it (addresses)
deny contains result.of(rego.metadata.rule(), host.field, [host.host], []) if {
	some host in input.egress.hosts
	host.leaves
	not hosts.within(host.canonical, _allowed)
	not _registers
}

# METADATA
# title: Address in a template
# description: A WorkloadGroup gives all its workloads one address.
# custom:
#   msg: address %q would be that of every workload of the group
#   fix: remove it; each workload brings its own
deny contains result.of(rego.metadata.rule(), "spec.template.address", [address], []) if {
	address := input.object.spec.template.address
	address != ""
	not hosts.within(address, _allowed)
}

# METADATA
# title: Workload weight
# description: Weights are not so far apart that proxies which hash calls would hold large rings, in which the smallest has a place.
# custom:
#   msg: weight %d is more than 1000, and every proxy that hashes calls to its Services would hold a large ring for it
#   fix: give weights that are closer together, such as percentages
deny contains result.of(rego.metadata.rule(), field, [weight], []) if {
	some field, weight in {
		"spec.weight": object.get(input.object.spec, "weight", 0),
		"spec.template.weight": object.get(input.object.spec, ["template", "weight"], 0),
	}
	weight > 1000
}

# Of workloads that register themselves istiod writes down the address that they say they have.
_registers if input.user.name in _parameter("users")

_registers if {
	some group in input.user.groups
	group in _parameter("groups")
}

_parameter(name) := {value | some value in object.get(input.parameters, name, [])}

_allowed := _parameter("addresses")
