package policies.envoy_extensions_test

import data.policies.envoy_extensions

_codes(namespace, user, groups) := {result.code |
	some result in envoy_extensions.deny with input as {
		"kind": "EnvoyFilter", "namespace": {"name": namespace}, "user": {"name": user, "groups": groups},
		"parameters": {"namespaces": ["platform"], "users": ["istiod"], "groups": ["mesh-admins"]},
	}
}

test_deny if _codes("shop", "ada", ["shop"]) == {"extension"}

test_deny_without_parameters if {
	result := envoy_extensions.deny with input as {"kind": "WasmPlugin", "namespace": {"name": "shop"}, "user": {"name": "ada", "groups": []}, "parameters": {}}
	count(result) == 1
}

test_allow if {
	_codes("platform", "ada", []) == set()
	_codes("shop", "istiod", []) == set()
	_codes("shop", "ada", ["shop", "mesh-admins"]) == set()
}
