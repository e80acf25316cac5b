package policies.canonical_hosts_test

import data.policies.canonical_hosts

_input(host, canonical) := {
	"kind": "ServiceEntry",
	"egress": {"hosts": [{"host": host, "canonical": canonical, "ip": false, "field": "spec.hosts[0]"}]},
}

_codes(document) := {result.code |
	some result in canonical_hosts.deny with input as document
}

test_deny_not_canonical if {
	result := canonical_hosts.deny with input as _input("API.example.com.", "api.example.com")
	result == {{
		"code": "not-canonical",
		"field": "spec.hosts[0]",
		"msg": `host "API.example.com." is not in canonical form`,
		"fix": `write "api.example.com"`,
	}}
}

test_deny_partial_wildcard if {
	_codes(_input("*foo.com", "*foo.com")) == {"partial-wildcard"}
	_codes(_input("a*b.foo.com", "a*b.foo.com")) == {"partial-wildcard"}
}

test_deny_address if {
	document := {"kind": "ServiceEntry", "egress": {"hosts": [{"host": "192.0.2.1", "canonical": "192.0.2.1", "ip": true, "field": "spec.hosts[0]"}]}}
	_codes(document) == {"address-as-host"}
}

test_sentences if {
	document := {"kind": "ServiceEntry", "egress": {"hosts": [
		{"host": "*foo.com", "canonical": "*foo.com", "ip": false, "field": "spec.hosts[0]"},
		{"host": "192.0.2.1", "canonical": "192.0.2.1", "ip": true, "field": "spec.hosts[1]"},
	]}}
	{[r.field, r.msg, r.fix] | some r in canonical_hosts.deny with input as document} == {
		["spec.hosts[0]", `wildcard host "*foo.com" is not a whole label`, "write a wildcard as *.example.com"],
		["spec.hosts[1]", `host "192.0.2.1" is an address`, "name the host and put the address into spec.endpoints"],
	}
}

test_allow_canonical if {
	every host in ["api.example.com", "*.example.com", "*"] {
		_codes(_input(host, host)) == set()
	}
}

test_allow_short_name if {
	_codes(_input("reviews", "reviews.shop.svc.cluster.local")) == set()
}

test_allow_addresses_as_endpoints if {
	result := canonical_hosts.deny with input as {"kind": "ServiceEntry", "egress": {"hosts": [{"host": "203.0.113.7", "canonical": "203.0.113.7", "ip": true, "endpoint": true, "field": "f"}]}}
	result == set()
}

_stored(host, stored, as_stored) := _codes({
	"kind": "VirtualService", "parameters": {"asStored": as_stored},
	"egress": {"hosts": [{"host": host, "stored": stored, "canonical": "api.example.com", "ip": false, "field": "spec.hosts[0]"}]},
})

test_as_stored if {
	_stored("API.example.com.", "api.example.com", true) == set()
	_stored("API.example.com", "API.example.com", true) == set()
	_stored("api.example.com.", "api.example.com.", true) == {"not-canonical"}
	_stored("API.example.com.", "api.example.com", false) == {"not-canonical"}
}
