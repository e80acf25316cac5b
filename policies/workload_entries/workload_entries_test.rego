package policies.workload_entries_test

import data.policies.workload_entries

_codes(address, leaves) := {result.code |
	some result in workload_entries.deny with input as {
		"egress": {"hosts": [{"host": address, "canonical": address, "leaves": leaves, "field": "spec.address"}]},
		"parameters": {"addresses": ["10.9.0.0/16"]},
	}
}

_template(address) := {result.code |
	some result in workload_entries.deny with input as {"egress": {"hosts": []}, "object": {"spec": {"template": {"address": address}}}, "parameters": {"addresses": ["10.9.0.0/16"]}}
}

test_deny if {
	_codes("203.0.113.7", true) == {"workload-outside"}
	_codes("evil.test", true) == {"workload-outside"}
	_template("203.0.113.7") == {"address-in-a-template"}
}

test_allow if {
	_codes("10.8.0.1", false) == set()
	_codes("10.9.0.1", true) == set()
	_template("") == set()
	_template("10.9.0.1") == set()
}

test_registered if {
	every user in [{"name": "registrar"}, {"groups": ["istiod"]}] {
		count(workload_entries.deny) == 0 with input as object.union(_outside, {"user": user})
	}
	count(workload_entries.deny) == 1 with input as object.union(_outside, {"user": {"name": "author", "groups": ["authors"]}})
}

_outside := {
	"egress": {"hosts": [{"host": "203.0.113.7", "canonical": "203.0.113.7", "leaves": true, "field": "spec.address"}]},
	"parameters": {"users": ["registrar"], "groups": ["istiod"]},
}

_weights(spec) := {[result.code, result.field] | some result in workload_entries.deny with input as {"egress": {"hosts": []}, "object": {"spec": spec}}}

test_weights if {
	_weights({"weight": 1001}) == {["workload-weight", "spec.weight"]}
	_weights({"template": {"weight": 4294967295}}) == {["workload-weight", "spec.template.weight"]}
	_weights({"weight": 1000}) == set()
	_weights({}) == set()
}
