package policies.host_owner_test

import data.policies.host_owner

_owners := {"owners": [
	{"hosts": ["api.partner.test", "*.bank.test"], "namespaces": ["payments", "billing"]},
	{"hosts": ["*.partner.test"], "namespaces": ["partners"]},
]}

_denied(kind, namespace, host, field) := {result.field |
	some result in host_owner.deny with input as {
		"kind": kind, "namespace": {"name": namespace}, "parameters": _owners,
		"egress": {"hosts": [{"host": host, "canonical": host, "endpoint": false, "field": field}]},
	}
}

test_deny_host_of_others if {
	every case in [["shop", "api.partner.test"], ["shop", "www.bank.test"], ["payments", "www.partner.test"], ["shop", "*.bank.test"], ["shop", "*.test"], ["shop", "*"]] {
		_denied("ServiceEntry", case[0], case[1], "spec.hosts[0]") == {"spec.hosts[0]"}
		_denied("VirtualService", case[0], case[1], "spec.hosts[1]") == {"spec.hosts[1]"}
	}
}

test_allow_own_and_unowned if {
	every case in [["payments", "api.partner.test"], ["billing", "www.bank.test"], ["partners", "api.partner.test"], ["shop", "www.other.test"]] {
		_denied("ServiceEntry", case[0], case[1], "spec.hosts[0]") == set()
	}
}

test_allow_to_lead_there_and_to_rule if {
	_denied("VirtualService", "shop", "api.partner.test", "spec.http[0].route[0].destination.host") == set()
	_denied("DestinationRule", "shop", "api.partner.test", "spec.host") == set()
}

test_says_who if {
	some result in host_owner.deny with input as {
		"kind": "ServiceEntry", "namespace": {"name": "shop"}, "parameters": _owners,
		"egress": {"hosts": [{"host": "www.bank.test", "canonical": "www.bank.test", "field": "spec.hosts[0]"}]},
	}
	result.msg == `host "www.bank.test" belongs to billing, payments, and not to namespace "shop"`
	result.code == "host-of-others"
}
