# METADATA
# title: Mesh hosts
# description: A ServiceEntry does not take over hosts that belong to the mesh.
# custom:
#   fix: Name an external host; hosts of Services need no ServiceEntry.
#   parameters:
#     type: object
#     additionalProperties: false
package policies.mesh_hosts

# METADATA
# title: Host of the mesh
# description: The host is a Service's or lies under the cluster domain.
deny contains result if {
	input.kind == "ServiceEntry"
	some host in input.egress.hosts
	_of_mesh(host)
	result := {
		"code": "mesh_host",
		"field": host.field,
		"msg": sprintf("host %q belongs to the mesh", [host.host]),
		"fix": "name an external host; a Service needs no ServiceEntry",
	}
}

# METADATA
# title: Short name
# description: A name without a dot is what workloads call Services by.
deny contains result if {
	input.kind == "ServiceEntry"
	some host in input.egress.hosts
	not _of_mesh(host)
	not contains(host.canonical, ".")
	result := {
		"code": "short_name",
		"field": host.field,
		"msg": sprintf("host %q is a short name, such as workloads call Services by", [host.host]),
		"fix": "write the full name of the external host",
	}
}

_of_mesh(host) if host.inMesh

_of_mesh(host) if regex.match(`(^|\.)svc(\.|$)`, host.canonical)
