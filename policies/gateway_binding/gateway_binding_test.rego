package policies.gateway_binding_test

import data.policies.gateway_binding

_fields(namespace, fields) := {result.field |
	some result in gateway_binding.deny with input as {
		"namespace": {"name": namespace}, "egress": {"onGateways": fields}, "parameters": {"namespaces": ["platform"]},
	}
}

test_deny if _fields("shop", ["spec.selector", "spec.http[0]"]) == {"spec.selector", "spec.http[0]"}

test_allow if {
	_fields("shop", []) == set()
	_fields("platform", ["spec.selector"]) == set()
}

_beside(for_others, parameters) := {result.field |
	some result in gateway_binding.deny with input as {
		"namespace": {"name": "shop"}, "parameters": parameters,
		"egress": {"onGateways": ["spec.selector"], "onGatewaysForOthers": for_others},
	}
}

test_own_hosts if {
	_beside([], {"ownHosts": true}) == set()
	_beside(["spec.servers[1]"], {"ownHosts": true}) == {"spec.servers[1]"}
	_beside(["spec.servers[1]"], {"ownHosts": true, "namespaces": ["shop"]}) == set()
	_beside([], {"ownHosts": false}) == {"spec.selector"}
}
