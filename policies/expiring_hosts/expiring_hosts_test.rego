package policies.expiring_hosts_test

import data.policies.expiring_hosts

_input(host, now) := {
	"time": now,
	"egress": {"hosts": [{"host": host, "canonical": host, "leaves": true, "field": "spec.hosts[0]"}]},
	"parameters": {"warnDays": 10, "hosts": [
		{"host": "old.test", "until": "2026-06-30"},
		{"host": "hour.test", "until": "2026-06-30T12:00:00Z"},
		{"host": "*.parts.test", "until": "2026-01-31"},
		{"host": "a.parts.test", "until": "2026-06-30"},
	]},
}

_says(host, now) := {"deny": {r.msg | some r in denied}, "warn": {r.msg | some r in warned}} if {
	denied := expiring_hosts.deny with input as _input(host, now)
	warned := expiring_hosts.warn with input as _input(host, now)
}

test_silent_long_before if {
	_says("old.test", "2026-06-01T00:00:00Z") == {"deny": set(), "warn": set()}
}

test_warns_before if {
	_says("old.test", "2026-06-25T00:00:00Z") == {"deny": set(), "warn": {`host "old.test" is allowed until 2026-06-30, and then denied`}}
	_says("old.test", "2026-06-30T23:59:00Z").deny == set()
	_says("hour.test", "2026-06-30T11:59:00Z").deny == set()
}

test_denies_after if {
	_says("old.test", "2026-07-01T00:00:00Z") == {"deny": {`host "old.test" was allowed until 2026-06-30`}, "warn": set()}
	count(_says("hour.test", "2026-06-30T12:00:01Z").deny) == 1
}

test_the_longest_allowance_counts if {
	_says("a.parts.test", "2026-03-01T00:00:00Z").deny == set()
	count(_says("b.parts.test", "2026-03-01T00:00:00Z").deny) == 1
}

test_a_wildcard_goes_with_the_first if {
	count(_says("*.test", "2026-03-01T00:00:00Z").deny) == 1
}

test_nothing_of_others if {
	_says("other.example", "2027-01-01T00:00:00Z") == {"deny": set(), "warn": set()}
}

test_fourteen_days_unless_said if {
	document := json.patch(_input("old.test", "2026-06-18T00:00:00Z"), [{"op": "remove", "path": "parameters/warnDays"}])
	warned := expiring_hosts.warn with input as document
	count(warned) == 1
}
