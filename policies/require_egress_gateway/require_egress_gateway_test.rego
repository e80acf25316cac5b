package policies.require_egress_gateway_test

import data.policies.require_egress_gateway

_input(from, via) := {"egress": {"routes": [{"host": "api.example.com", "port": 443, "from": from, "via": via, "field": "spec.ports[0]"}]}}

test_deny_direct_route if {
	every from in ["mesh", "gateway"] {
		_denied(from)
	}
}

_denied(from) if {
	result := require_egress_gateway.deny with input as _input(from, "direct")
	result == {{
		"code": "direct-route",
		"field": "spec.ports[0]",
		"msg": `port 443 of host "api.example.com" would leave without passing an egress gateway`,
		"fix": "declare the host with location MESH_EXTERNAL in a namespace that an egress gateway serves",
	}}
}

test_allow_sealed_entry if {
	result := require_egress_gateway.deny with input as data.testdata.serviceentry
	result == set()
}

test_allow_everything_else if {
	every case in [["mesh", "gateway"], ["mesh", "mesh"], ["mesh", "unregistered"], ["gateway", "gateway"]] {
		result := require_egress_gateway.deny with input as _input(case[0], case[1])
		result == set()
	}
}
