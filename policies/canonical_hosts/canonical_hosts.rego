# METADATA
# title: Canonical hosts
# description: Hosts are written in the one form in which they are compared.
# custom:
#   fix: Write hosts in lower case, in ASCII, without a trailing dot, and wildcards of whole labels.
#   parameters:
#     type: object
#     additionalProperties: false
package policies.canonical_hosts

# METADATA
# title: Host is not canonical
# description: The host has upper case, a trailing dot or letters outside ASCII.
deny contains result if {
	some host in input.egress.hosts
	contains(host.host, ".")
	host.host != host.canonical
	result := {
		"code": "not_canonical",
		"field": host.field,
		"msg": sprintf("host %q is not in canonical form", [host.host]),
		"fix": sprintf("write %q", [host.canonical]),
	}
}

# METADATA
# title: Wildcard within a label
# description: A wildcard that is not a whole label at the front matches hosts of other owners.
deny contains result if {
	some host in input.egress.hosts
	contains(trim_prefix(host.canonical, "*."), "*")
	host.canonical != "*"
	result := {
		"code": "partial_wildcard",
		"field": host.field,
		"msg": sprintf("wildcard host %q is not a whole label", [host.host]),
		"fix": "write a wildcard as *.example.com",
	}
}

# METADATA
# title: Address as a host
# description: A host is an IP address.
deny contains result if {
	input.kind == "ServiceEntry"
	some host in input.egress.hosts
	host.ip
	result := {
		"code": "address_as_host",
		"field": host.field,
		"msg": sprintf("host %q is an address", [host.host]),
		"fix": "name the host and put the address into spec.endpoints",
	}
}
