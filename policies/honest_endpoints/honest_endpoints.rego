# METADATA
# title: Honest endpoints
# description: A ServiceEntry leads to the host that it names, and nowhere else.
# custom:
#   fix: Let DNS find the host, without endpoints, addresses or names of other hosts.
#   parameters:
#     type: object
#     additionalProperties: false
#     properties:
#       allowedEndpoints: {type: array, uniqueItems: true, items: {type: string}}
#       allowedAddresses: {type: array, uniqueItems: true, items: {type: string}}
#       meshCIDRs: {type: array, uniqueItems: true, items: {type: string}}
package policies.honest_endpoints

import data.policies.lib.hosts

# METADATA
# title: Endpoint elsewhere
# description: An endpoint of an external host is neither the host itself nor allowed by the parameters.
deny contains result if {
	_external
	some i, endpoint in input.object.spec.endpoints
	not hosts.within(endpoint.address, _named | _parameter("allowedEndpoints"))
	result := {
		"code": "foreign_endpoint",
		"field": sprintf("spec.endpoints[%d].address", [i]),
		"msg": sprintf("endpoint %q is not the host that the entry names", [endpoint.address]),
		"fix": "remove the endpoint and set resolution DNS, or ask the platform team to allow it (allowedEndpoints)",
	}
}

# METADATA
# title: Address claimed
# description: The entry claims an address, which catches calls to whatever is there.
deny contains result if {
	input.kind == "ServiceEntry"
	some i, address in input.object.spec.addresses
	not hosts.within(address, _parameter("allowedAddresses"))
	result := {
		"code": "claimed_address",
		"field": sprintf("spec.addresses[%d]", [i]),
		"msg": sprintf("address %q would catch calls to whatever is there", [address]),
		"fix": "remove the address, or ask the platform team to allow it (allowedAddresses)",
	}
}

# METADATA
# title: Name of another host
# description: A certificate of another host would be accepted for this one.
deny contains result if {
	_external
	some i, name in input.object.spec.subjectAltNames
	not hosts.covered(lower(name), _named)
	result := {
		"code": "foreign_name",
		"field": sprintf("spec.subjectAltNames[%d]", [i]),
		"msg": sprintf("certificate name %q is not the host that the entry names", [name]),
		"fix": "remove it; the host's own name is checked without it",
	}
}

# METADATA
# title: Resolution left to the client
# description: With resolution NONE the client chooses the address for the host.
deny contains result if {
	_external
	object.get(input.object.spec, "resolution", "NONE") == "NONE"
	result := {
		"code": "client_resolution",
		"field": "spec.resolution",
		"msg": "resolution NONE lets the client choose the address",
		"fix": "set resolution DNS",
	}
}

# METADATA
# title: Workloads as an external host
# description: The entry selects workloads of the mesh for a host outside it.
deny contains result if {
	_external
	count(object.get(input.object.spec, "workloadSelector", {})) > 0
	result := {
		"code": "selected_workloads",
		"field": "spec.workloadSelector",
		"msg": "selects workloads of the mesh for an external host",
		"fix": "remove it, or set location MESH_INTERNAL",
	}
}

# METADATA
# title: Internal in name only
# description: The entry says MESH_INTERNAL, and nothing shows that its endpoints are in the mesh.
deny contains result if {
	input.kind == "ServiceEntry"
	not _external
	not _in_mesh
	result := {
		"code": "not_internal",
		"field": "spec.location",
		"msg": "location MESH_INTERNAL takes the host past the egress gateway, and its endpoints are not known to be in the mesh",
		"fix": "set location MESH_EXTERNAL, or ask the platform team to list the endpoints' range (meshCIDRs)",
	}
}

_external if {
	input.kind == "ServiceEntry"
	object.get(input.object.spec, "location", "MESH_EXTERNAL") != "MESH_INTERNAL"
}

_in_mesh if {
	count(object.get(input.object.spec, "endpoints", [])) > 0
	every endpoint in input.object.spec.endpoints {
		_of_mesh(endpoint.address)
	}
}

_in_mesh if {
	count(object.get(input.object.spec, "endpoints", [])) == 0
	count(object.get(input.object.spec, "workloadSelector", {})) > 0
}

_of_mesh(address) if endswith(address, concat("", [".", input.egress.clusterDomain]))

_of_mesh(address) if hosts.within(address, _parameter("meshCIDRs"))

_named := {host.canonical | some host in input.egress.hosts}

_parameter(name) := {value | some value in object.get(input.parameters, name, [])}
