package policies.allowed_hosts_test

import data.policies.allowed_hosts

_input(host, leaves, parameters) := {
	"namespace": {"name": "payments"},
	"egress": {"hosts": [{"host": host, "canonical": lower(host), "leaves": leaves, "field": "spec.hosts[0]"}]},
	"parameters": parameters,
}

test_deny_unlisted_host if {
	result := allowed_hosts.deny with input as _input("Evil.io", true, {"hosts": ["api.stripe.com", "*.paypal.com"]})
	result == {{
		"code": "host_not_allowed",
		"field": "spec.hosts[0]",
		"msg": `host "Evil.io" is not allowed in namespace "payments"`,
		"fix": "ask the platform team to add it to this EgressPolicy, or use one of: *.paypal.com, api.stripe.com",
	}}
}

test_deny_without_list if {
	result := allowed_hosts.deny with input as _input("api.stripe.com", true, {})
	count(result) == 1
}

test_allow_listed_host if {
	result := allowed_hosts.deny with input as _input("API.stripe.com", true, {"hosts": {"api.stripe.com"}})
	result == set()
}

test_allow_host_of_the_mesh if {
	result := allowed_hosts.deny with input as _input("reviews", false, {"hosts": []})
	result == set()
}
