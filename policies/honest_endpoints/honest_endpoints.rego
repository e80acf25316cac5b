# METADATA
# title: Honest endpoints
# description: A ServiceEntry leads to the host that it names, and nowhere else.
# custom:
#   fix: Let DNS find the host, without endpoints, addresses or names of other hosts.
#   kinds: [ServiceEntry]
#   baseline: {enforcement: Audit}
#   parameters:
#     type: object
#     additionalProperties: false
#     properties:
#       allowedEndpoints: {type: array, description: 'Hosts, addresses and ranges that endpoints may be.', uniqueItems: true, items: {type: string, format: host-or-cidr}}
#       allowedAddresses: {type: array, description: Addresses and ranges that entries may claim., uniqueItems: true, items: {type: string, format: host-or-cidr}}
package policies.honest_endpoints

import data.policies.lib.hosts
import data.policies.lib.result

# METADATA
# title: Foreign endpoint
# description: An endpoint of an external host is neither the host itself nor allowed by the parameters.
# custom:
#   msg: endpoint %q is not the host that the entry names
#   fix: remove the endpoint and set resolution DNS, or ask the platform team to allow it (allowedEndpoints)
deny contains result.of(rego.metadata.rule(), sprintf("spec.endpoints[%d].address", [i]), [endpoint.address], []) if {
	_external
	some i, endpoint in input.object.spec.endpoints
	not hosts.within(endpoint.address, _named | _parameter("allowedEndpoints"))
}

# METADATA
# title: Claimed address
# description: The entry claims an address, which catches calls to whatever is there.
# custom:
#   msg: address %q would catch calls to whatever is there
#   fix: remove the address, or ask the platform team to allow it (allowedAddresses)
deny contains result.of(rego.metadata.rule(), sprintf("spec.addresses[%d]", [i]), [address], []) if {
	input.kind == "ServiceEntry"
	some i, address in input.object.spec.addresses
	not hosts.within(address, _parameter("allowedAddresses"))
}

# METADATA
# title: Foreign name
# description: A certificate of another host would be accepted for this one.
# custom:
#   msg: certificate name %q is not the host that the entry names
#   fix: remove it; the host's own name is checked without it
deny contains result.of(rego.metadata.rule(), sprintf("spec.subjectAltNames[%d]", [i]), [name], []) if {
	_external
	some i, name in input.object.spec.subjectAltNames
	not hosts.covered(lower(name), _named)
}

# METADATA
# title: Client resolution
# description: With resolution NONE the client chooses the address for the host.
# custom:
#   msg: resolution NONE lets the client choose the address
#   fix: set resolution DNS
deny contains result.of(rego.metadata.rule(), "spec.resolution", [], []) if {
	_external
	object.get(input.object.spec, "resolution", "NONE") == "NONE"
}

# METADATA
# title: Selected workloads
# description: The entry selects workloads of the mesh for a host outside it.
# custom:
#   msg: selects workloads of the mesh for an external host
#   fix: remove it, or set location MESH_INTERNAL
deny contains result.of(rego.metadata.rule(), "spec.workloadSelector", [], []) if {
	_external
	count(object.get(input.object.spec, "workloadSelector", {})) > 0
}

# METADATA
# title: Not internal
# description: The entry says MESH_INTERNAL, and nothing shows that its endpoints are in the mesh.
# custom:
#   msg: location MESH_INTERNAL takes the host past the egress gateway, and its endpoints are not known to be in the mesh
#   fix: set location MESH_EXTERNAL, or ask the platform team to declare the endpoints' range (meshCIDRs of the configuration)
deny contains result.of(rego.metadata.rule(), "spec.location", [], []) if {
	input.kind == "ServiceEntry"
	not _external
	not input.egress.internal
}

_external if {
	input.kind == "ServiceEntry"
	object.get(input.object.spec, "location", "MESH_EXTERNAL") != "MESH_INTERNAL"
}

# What the entry names, and not where it leads.
_named := {host.canonical |
	some host in input.egress.hosts
	not host.endpoint
}

_parameter(name) := {value | some value in object.get(input.parameters, name, [])}
