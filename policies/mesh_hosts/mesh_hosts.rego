# METADATA
# title: Mesh hosts
# description: A ServiceEntry does not take over hosts that belong to the mesh.
# custom:
#   fix: Name an external host; hosts of Services need no ServiceEntry.
#   kinds: [ServiceEntry]
#   baseline: {}
#   parameters:
#     type: object
#     additionalProperties: false
package policies.mesh_hosts

import data.policies.lib.result

# METADATA
# title: Mesh host
# description: The host is a Service's or lies under the cluster domain.
# custom:
#   msg: host %q belongs to the mesh
#   fix: name an external host; a Service needs no ServiceEntry
deny contains result.of(rego.metadata.rule(), host.field, [host.host], []) if {
	input.kind == "ServiceEntry"
	some host in input.egress.hosts
	not host.endpoint
	_of_mesh(host)
}

# METADATA
# title: Service form
# description: The host has the form of a Service of some cluster, name.namespace.svc and a domain, or covers such.
# custom:
#   msg: host %q has the form of a Service of a cluster, name.namespace.svc and a domain
#   fix: name an external host; where this is one, ask the platform team to set this policy to Warn
deny contains result.of(rego.metadata.rule(), host.field, [host.host], []) if {
	input.kind == "ServiceEntry"
	some host in input.egress.hosts
	not host.endpoint
	not _of_mesh(host)
	regex.match(`^([^.]+\.[^.]+|\*)\.([^.]+\.)*svc\.`, host.canonical)
}

# METADATA
# title: Short name
# description: A name without a dot is what workloads call Services by.
# custom:
#   msg: host %q is a short name, such as workloads call Services by
#   fix: write the full name of the external host
deny contains result.of(rego.metadata.rule(), host.field, [host.host], []) if {
	input.kind == "ServiceEntry"
	some host in input.egress.hosts
	not host.endpoint
	not _of_mesh(host)
	not contains(host.canonical, ".")
}

_of_mesh(host) if host.inMesh

# Search domains make a Service's whole name of it.
_of_mesh(host) if regex.match(`(^|\.)svc$`, host.canonical)
