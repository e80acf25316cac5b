package policies.tls_only_test

import data.policies.tls_only

_codes(via, protocol, host) := {result.code |
	some result in tls_only.deny with input as {
		"egress": {"routes": [{"host": host, "port": 443, "protocol": protocol, "from": "mesh", "via": via, "field": "f"}]},
		"parameters": {"except": ["*.legacy.test"]},
	}
}

test_deny if {
	every protocol in ["HTTP", "http", "TCP", "GRPC"] {
		_codes("gateway", protocol, "a.test") == {"not-tls"}
		_codes("direct", protocol, "a.test") == {"not-tls"}
	}
}

test_allow if {
	_codes("gateway", "TLS", "a.test") == set()
	_codes("gateway", "https", "a.test") == set()
	_codes("mesh", "HTTP", "a.test") == set()
	_codes("gateway", "HTTP", "a.legacy.test") == set()
}
