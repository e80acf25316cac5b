package policies.denied_hosts_test

import data.policies.denied_hosts

_denied(host, ip, leaves) := {result.code |
	some result in denied_hosts.deny with input as {
		"egress": {"hosts": [{"host": host, "canonical": host, "ip": ip, "leaves": leaves, "field": "spec.hosts[0]"}]},
		"parameters": {"hosts": {"evil.test", "*.paste.test", "203.0.113.0/24"}},
	}
}

test_deny_listed if {
	every host in ["evil.test", "a.paste.test", "*.paste.test", "*.test", "*"] {
		_denied(host, false, true) == {"host-denied"}
	}
	_denied("203.0.113.7", true, true) == {"host-denied"}
}

test_allow_others if {
	every host in ["notevil.test", "a.evil.test", "paste.test", "*.evil.test"] {
		_denied(host, false, true) == set()
	}
	_denied("203.0.114.7", true, true) == set()
	_denied("evil.test", false, false) == set()
}
