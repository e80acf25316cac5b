package policies.lib.result_test

import data.policies.lib.result

# METADATA
# title: Name, not (yet) taken
# custom:
#   msg: name %q of %d
#   fix: choose %s
_described contains result.of(rego.metadata.rule(), "metadata.name", ["a", 2], ["b"])

_bare contains result.of(rego.metadata.rule(), "spec", ["a"], ["b"])

test_of_metadata if {
	_described == {{"code": "name-not-yet-taken", "field": "metadata.name", "msg": `name "a" of 2`, "fix": "choose b"}}
}

test_stands_without_metadata if {
	_bare == {{"code": "", "field": "spec", "msg": "", "fix": ""}}
}
