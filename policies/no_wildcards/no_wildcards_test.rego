package policies.no_wildcards_test

import data.policies.no_wildcards

_codes(host, in_mesh) := {result.code |
	some result in no_wildcards.deny with input as {
		"egress": {"hosts": [{"host": host, "canonical": host, "wildcard": contains(host, "*"), "inMesh": in_mesh, "field": "f"}]},
		"parameters": {"allowed": ["*.cdn.test"]},
	}
}

test_deny if {
	_codes("*.test", false) == {"wildcard-host"}
	_codes("*", false) == {"wildcard-host"}
}

test_allow if {
	_codes("*.cdn.test", false) == set()
	_codes("*.eu.cdn.test", false) == set()
	_codes("a.test", false) == set()
	_codes("*.svc.cluster.local", true) == set()
}
