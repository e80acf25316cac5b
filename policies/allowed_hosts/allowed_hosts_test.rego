package policies.allowed_hosts_test

import data.policies.allowed_hosts

_input(host, patterns, leaves, parameters) := {
	"client": {"name": "payments"},
	"egress": {"hosts": [{"host": host, "canonical": lower(host), "patterns": patterns, "leaves": leaves, "field": "spec.hosts[0]"}]},
	"parameters": parameters,
}

test_deny_unlisted_host if {
	result := allowed_hosts.deny with input as _input("Evil.io", ["evil.io", "*.io", "*"], true, {"hosts": ["api.stripe.com", "*.paypal.com"]})
	result == {{
		"code": "host-not-allowed",
		"field": "spec.hosts[0]",
		"msg": `host "Evil.io" is not allowed in namespace "payments"`,
		"fix": "ask the platform team to add it to this EgressPolicy, or use one of: *.paypal.com, api.stripe.com",
	}}
}

test_deny_without_list if {
	every parameters in [{}, {"hosts": []}] {
		result := allowed_hosts.deny with input as _input("api.stripe.com", ["api.stripe.com", "*.stripe.com", "*.com", "*"], true, parameters)
		{finding.fix | some finding in result} == {"ask the platform team to add it to this EgressPolicy, which lists none yet"}
	}
}

test_allow_listed_host if {
	result := allowed_hosts.deny with input as _input("API.stripe.com", ["api.stripe.com", "*.stripe.com", "*.com", "*"], true, {"hosts": {"api.stripe.com"}})
	result == set()
}

test_allow_host_of_the_mesh if {
	result := allowed_hosts.deny with input as _input("reviews", ["reviews", "*"], false, {"hosts": []})
	result == set()
}

test_allow_by_wildcard if {
	result := allowed_hosts.deny with input as _input("api.stripe.com", ["api.stripe.com", "*.stripe.com", "*.com", "*"], true, {"hosts": ["*.stripe.com"]})
	result == set()
}

test_deny_when_patterns_are_unknown if {
	result := allowed_hosts.deny with input as {"client": {"name": "p"}, "egress": {"hosts": [{"host": "a.b", "leaves": true, "field": "f"}]}, "parameters": {"hosts": ["*"]}}
	count(result) == 1
}

test_endpoints_are_judged_and_allowed_by_range if {
	every case in [["203.0.113.7", {"203.0.113.0/24"}, 0], ["203.0.113.7", {"api.stripe.com"}, 1], ["203.0.113.7", {"203.0.113.7"}, 0]] {
		endpoint := {"host": case[0], "canonical": case[0], "patterns": [case[0], "*"], "ip": true, "endpoint": true, "leaves": true, "field": "spec.endpoints[0].address"}
		result := allowed_hosts.deny with input as {"client": {"name": "p"}, "egress": {"hosts": [endpoint]}, "parameters": {"hosts": case[1]}}
		count(result) == case[2]
	}
}
