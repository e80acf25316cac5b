package policies.gateway_api_routes_test

import data.policies.gateway_api_routes

_codes(via, parents) := {result.code |
	some result in gateway_api_routes.deny with input as {
		"egress": {"routes": [{"host": "evil.test", "via": via, "field": "f"}]}, "object": {"spec": {"parentRefs": parents}}, "parameters": {},
	}
}

test_deny if {
	every via in ["direct", "gateway", "unregistered"] {
		_codes(via, []) == {"external-backend"}
	}
	_codes("mesh", [{"kind": "Gateway", "name": "a"}, {"group": "networking.istio.io", "kind": "ServiceEntry", "name": "b"}]) == {"entry-as-parent"}
}

test_allow if {
	_codes("mesh", [{"kind": "Service", "name": "a"}]) == set()
	result := gateway_api_routes.deny with input as {
		"egress": {"routes": [{"host": "a.ok.test", "via": "gateway", "field": "f"}]}, "object": {"spec": {}}, "parameters": {"allowedHosts": ["*.ok.test"]},
	}
	result == set()
}
