package policies.honest_endpoints_test

import data.policies.honest_endpoints

_input(spec, parameters) := {
	"kind": "ServiceEntry",
	"object": {"spec": object.union({"hosts": ["api.example.com"], "resolution": "DNS"}, spec)},
	"egress": {"clusterDomain": "cluster.local", "hosts": [{"canonical": "api.example.com"}, {"canonical": "*.wild.test"}, {"canonical": "evil.test", "endpoint": true}]},
	"parameters": parameters,
}

_found(spec, parameters) := {sprintf("%s %s", [result.code, result.field]) |
	some result in honest_endpoints.deny with input as _input(spec, parameters)
}

_said(spec) := {[result.msg, result.fix] |
	some result in honest_endpoints.deny with input as _input(spec, {})
}

_internal(spec) := object.union({"location": "MESH_INTERNAL"}, spec)

test_deny_foreign_endpoint if {
	_found({"endpoints": [{"address": "api.example.com"}, {"address": "203.0.113.1"}]}, {}) == {"foreign-endpoint spec.endpoints[1].address"}
	_found({"endpoints": [{"address": "evil.test"}]}, {}) == {"foreign-endpoint spec.endpoints[0].address"}
}

test_allow_endpoint_of_parameters if {
	_found({"endpoints": [{"address": "203.0.113.1"}, {"address": "cdn.test"}]}, {"allowedEndpoints": ["203.0.113.0/24", "cdn.test"]}) == set()
}

test_allow_endpoint_under_wildcard if {
	_found({"endpoints": [{"address": "www.wild.test"}]}, {}) == set()
}

test_deny_claimed_address if {
	_found({"addresses": ["192.0.2.1"]}, {}) == {"claimed-address spec.addresses[0]"}
	_found({"addresses": ["192.0.2.1"]}, {"allowedAddresses": ["192.0.2.0/24"]}) == set()
	_found({"addresses": ["192.0.2.0/23"]}, {"allowedAddresses": ["192.0.2.0/24"]}) == {"claimed-address spec.addresses[0]"}
}

test_deny_foreign_name if {
	_found({"subjectAltNames": ["evil.test", "API.example.com"]}, {}) == {"foreign-name spec.subjectAltNames[0]"}
}

test_deny_the_only_address_under_none if {
	input_of := {"hosts": [{"canonical": "api.example.com", "patterns": ["api.example.com"]}, {"canonical": "203.0.113.7", "endpoint": true, "field": "spec.addresses[0]"}], "routes": [{"from": "mesh", "via": "gateway"}]}
	spec := {"resolution": "NONE", "addresses": ["203.0.113.7"], "subjectAltNames": ["evil.test"]}
	_passing(spec, input_of, {"asStored": true, "endpoints": true}) == {"foreign-endpoint", "impersonation"}
	_passing(spec, input_of, {"asStored": true, "endpoints": true, "allowedEndpoints": ["203.0.113.0/24"]}) == set()
	_passing(spec, object.union(input_of, {"allClients": false}), {"asStored": true}) == set()
}

test_deny_client_resolution if {
	_found({"resolution": "NONE"}, {}) == {"client-resolution spec.resolution"}
	_sealed("gateway", true) == set()
	_sealed("gateway", false) == {"client-resolution"}
	_sealed("direct", true) == {"client-resolution"}
	result := honest_endpoints.deny with input as {
		"kind": "ServiceEntry",
		"object": {"spec": {"hosts": ["api.example.com"]}},
		"egress": {"clusterDomain": "cluster.local", "hosts": []},
		"parameters": {},
	}
	{r.code | some r in result} == {"client-resolution"}
}

_sealed(via, as_stored) := {result.code |
	some result in honest_endpoints.deny with input as {
		"kind": "ServiceEntry", "parameters": {"asStored": as_stored},
		"object": {"spec": {"hosts": ["api.example.com"]}},
		"egress": {"hosts": [], "routes": [{"from": "mesh", "via": via}, {"from": "gateway", "via": "gateway"}]},
	}
}

test_parameters_that_let_pass if {
	spec := {"endpoints": [{"address": "203.0.113.1"}], "addresses": ["192.0.2.1"], "subjectAltNames": ["evil.test"]}
	_found(spec, {"endpoints": false, "addresses": false, "certificateNames": false}) == set()
	_found(spec, {"addresses": false, "certificateNames": false}) == {"foreign-endpoint spec.endpoints[0].address"}
}

_passing(spec, egress, parameters) := {result.code |
	some result in honest_endpoints.deny with input as {
		"kind": "ServiceEntry", "namespace": {"name": "shop"},
		"parameters": object.union({"endpoints": false, "addresses": false, "certificateNames": false}, parameters),
		"object": {"spec": object.union({"hosts": ["api.example.com"], "resolution": "DNS"}, spec)},
		"egress": object.union({"hosts": [{"canonical": "api.example.com", "patterns": ["api.example.com", "*.example.com", "*.com", "*"]}], "allClients": true, "clients": [{"namespace": "shop"}]}, egress),
	}
}

test_deny_impersonation if {
	spec := {"endpoints": [{"address": "evil.test"}], "subjectAltNames": ["evil.test"]}
	_passing(spec, {}, {}) == {"impersonation"}
	_passing(spec, {"allClients": false, "clients": [{"namespace": "shop"}, {"namespace": "till"}]}, {}) == {"impersonation"}
	_passing(spec, {"allClients": false}, {}) == set()
	_passing(spec, {}, {"allowedEndpoints": ["evil.test"]}) == set()
	_passing(object.union(spec, {"endpoints": [{"address": "api.example.com"}]}), {}, {}) == set()
	_passing(object.union(spec, {"subjectAltNames": ["*.example.com", "api.example.com"]}), {}, {}) == set()
}

test_deny_selected_workloads if {
	_found({"workloadSelector": {"labels": {"app": "a"}}}, {}) == {"selected-workloads spec.workloadSelector"}
}

test_deny_internal_in_name_only if {
	_found(_internal({}), {}) == {"not-internal spec.location"}
	_found(_internal({"endpoints": [{"address": "203.0.113.1"}]}), {}) == {"not-internal spec.location"}
	_found(_internal({"endpoints": [{"address": "db.svc.cluster.local"}, {"address": "203.0.113.1"}]}), {}) == {"not-internal spec.location"}
}

test_sentences if {
	_said({
		"resolution": "NONE",
		"endpoints": [{"address": "203.0.113.1"}],
		"addresses": ["192.0.2.1"],
		"subjectAltNames": ["evil.test"],
		"workloadSelector": {"labels": {"app": "a"}},
	}) == {
		[
			`endpoint "203.0.113.1" is not the host that the entry names`,
			"remove the endpoint and set resolution DNS, or ask the platform team to allow it (allowedEndpoints)",
		],
		[
			`address "192.0.2.1" would catch calls to whatever is there`,
			"remove the address, or ask the platform team to allow it (allowedAddresses)",
		],
		[
			`certificate name "evil.test" is not the host that the entry names`,
			"remove it; the host's own name is checked without it",
		],
		["resolution NONE lets the client choose the address", "set resolution DNS"],
		["selects workloads of the mesh for an external host", "remove it, or set location MESH_INTERNAL"],
	}
	_said(_internal({})) == {[
		"location MESH_INTERNAL takes the host past the egress gateway, and its endpoints are not known to be in the mesh",
		"set location MESH_EXTERNAL, or ask the platform team to declare the endpoints' range (meshCIDRs of the configuration)",
	]}
}

test_allow_internal if {
	result := honest_endpoints.deny with input as {
		"kind": "ServiceEntry",
		"object": {"spec": {"location": "MESH_INTERNAL", "endpoints": [{"address": "db.prod.svc.cluster.local"}]}},
		"parameters": {},
		"egress": {"clusterDomain": "cluster.local", "internal": true, "hosts": []},
	}
	result == set()
}

test_allow_other_kinds if {
	result := honest_endpoints.deny with input as {"kind": "VirtualService", "object": {"spec": {"hosts": ["api.example.com"]}}, "parameters": {}}
	result == set()
}
