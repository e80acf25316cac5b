package policies.export_scope_test

import data.policies.export_scope

_fields(kind, spec, all_clients, namespaces) := {result.field |
	some result in export_scope.deny with input as {
		"kind": kind, "namespace": {"name": "shop"}, "object": {"spec": spec}, "egress": {"allClients": all_clients},
		"parameters": {"namespaces": namespaces},
	}
}

test_deny_everybody if {
	_fields("ServiceEntry", {}, true, []) == {"spec.exportTo"}
	_fields("VirtualService", {"exportTo": []}, true, []) == {"spec.exportTo"}
	_fields("DestinationRule", {}, false, []) == {"spec.exportTo"}
	_fields("ServiceEntry", {"exportTo": [".", "*"]}, true, []) == {"spec.exportTo[1]"}
	_fields("ServiceEntry", {"exportTo": ["other"]}, false, ["friend"]) == {"spec.exportTo[0]"}
}

test_allow_own_and_listed if {
	_fields("ServiceEntry", {"exportTo": [".", "shop", "friend"]}, false, ["friend"]) == set()
	_fields("ServiceEntry", {"exportTo": ["~"]}, false, []) == set()
	_fields("ServiceEntry", {}, false, []) == set()
	_fields("ServiceEntry", {}, true, ["*"]) == set()
	_fields("ServiceEntry", {"exportTo": ["*"]}, true, ["*"]) == set()
}
