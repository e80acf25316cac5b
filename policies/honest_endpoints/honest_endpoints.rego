# METADATA
# title: Honest endpoints
# description: A ServiceEntry leads to the host that it names, and nowhere else.
# custom:
#   fix: Let DNS find the host, without endpoints, addresses or names of other hosts.
#   kinds: [ServiceEntry]
#   baseline: {enforcement: Deny, parameters: {asStored: true, endpoints: false, addresses: false, certificateNames: false}}
#   parameters:
#     type: object
#     additionalProperties: false
#     properties:
#       allowedEndpoints:
#         description: Hosts, addresses and ranges that endpoints may be.
#         type: array
#         uniqueItems: true
#         items: {type: string, format: host-or-cidr}
#       allowedAddresses:
#         description: Addresses and ranges that entries may claim.
#         type: array
#         uniqueItems: true
#         items: {type: string, format: host-or-cidr}
#       asStored: {type: boolean, description: 'Judge entries as they are stored, sealed: what gateways really call.'}
#       endpoints: {type: boolean, description: Whether endpoints are judged.}
#       addresses: {type: boolean, description: Whether addresses are judged.}
#       certificateNames: {type: boolean, description: Whether subjectAltNames are judged.}
package policies.honest_endpoints

import data.policies.lib.hosts
import data.policies.lib.result

# METADATA
# title: Foreign endpoint
# description: An endpoint of an external host is neither the host itself nor allowed by the parameters.
# custom:
#   msg: endpoint %q is not the host that the entry names
#   fix: remove the endpoint and set resolution DNS, or ask the platform team to allow it (allowedEndpoints)
deny contains result.of(rego.metadata.rule(), endpoint.field, [endpoint.address], []) if {
	_external
	_judged("endpoints")
	some endpoint in _endpoints
	_foreign(endpoint)
}

# METADATA
# title: Claimed address
# description: The entry claims an address, which catches calls to whatever is there.
# custom:
#   msg: address %q would catch calls to whatever is there
#   fix: remove the address, or ask the platform team to allow it (allowedAddresses)
deny contains result.of(rego.metadata.rule(), sprintf("spec.addresses[%d]", [i]), [address], []) if {
	input.kind == "ServiceEntry"
	_judged("addresses")
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
	_judged("certificateNames")
	some i, name in input.object.spec.subjectAltNames
	not hosts.covered(lower(name), _named)
}

# METADATA
# title: Impersonation
# description: Calls of other namespaces are led elsewhere, where a certificate passes that is none of the host's.
# custom:
#   msg: certificate name %q lets whoever is at the endpoints pass for the host, for other namespaces
#   fix: remove it, or keep the entry to its own namespace (exportTo ["."]), or ask the platform team to allow the endpoints (allowedEndpoints)
deny contains result.of(rego.metadata.rule(), sprintf("spec.subjectAltNames[%d]", [i]), [name], []) if {
	_external
	_for_others
	some endpoint in _endpoints
	_foreign(endpoint)
	some i, name in input.object.spec.subjectAltNames
	not lower(name) in _patterns
	not hosts.covered(lower(name), _named)
}

# METADATA
# title: Client resolution
# description: With resolution NONE the client chooses the address for the host, but where it is stored so that the gateway asks DNS, or calls the only one.
# custom:
#   msg: resolution NONE lets the client choose the address
#   fix: set resolution DNS
deny contains result.of(rego.metadata.rule(), "spec.resolution", [], []) if {
	_external
	object.get(input.object.spec, "resolution", "NONE") == "NONE"
	not _asks_dns
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

_endpoints contains {"address": endpoint.address, "field": sprintf("spec.endpoints[%d].address", [i])} if {
	some i, endpoint in input.object.spec.endpoints
}

# Under NONE, an entry's only address is where its calls go.
_endpoints contains {"address": host.canonical, "field": host.field} if {
	some host in input.egress.hosts
	host.endpoint
	startswith(host.field, "spec.addresses")
}

_parameter(name) := {value | some value in object.get(input.parameters, name, [])}

# Each is judged unless the parameters say false.
_judged(name) if object.get(input.parameters, name, true)

_foreign(endpoint) if not hosts.within(endpoint.address, _named | _parameter("allowedEndpoints"))

_for_others if input.egress.allClients

_for_others if {
	some client in input.egress.clients
	client.namespace != input.namespace.name
}

# Every name that a certificate of one of the hosts may have.
_patterns := {pattern |
	some host in input.egress.hosts
	not host.endpoint
	some pattern in host.patterns
}

# Calls of an entry that is carried to a gateway end where that leads them.
_asks_dns if {
	input.parameters.asStored
	count(input.egress.routes) > 0
	every route in input.egress.routes {
		route.via == "gateway"
	}
}
