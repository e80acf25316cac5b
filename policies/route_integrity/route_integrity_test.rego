package policies.route_integrity_test

import data.policies.route_integrity

_found(route, parameters) := {[result.code, result.field] |
	some result in route_integrity.deny with input as {"object": route, "parameters": parameters}
}

_routes(route) := {"spec": {"hosts": ["api.test"], "http": [route]}}

_cases := [
	["internalAnnotations", {"metadata": {"annotations": {"internal.istio.io/route-semantics": "gateway", "example.com/a": "b"}}}, ["internal-annotation", "metadata.annotations[internal.istio.io/route-semantics]"]],
	["internalAnnotations", {"metadata": {"labels": {"internal.istio.io/service-semantics": "inferencepool", "app": "b"}}}, ["internal-annotation", "metadata.labels[internal.istio.io/service-semantics]"]],
	["authorityRewrites", _routes({"rewrite": {"authority": "evil.test", "uri": "/"}}), ["authority-rewrite", "spec.http[0].rewrite.authority"]],
	["hostHeaders", _routes({"headers": {"request": {"set": {"Host": "evil.test", "x": "y"}}}}), ["host-header", "spec.http[0].headers.request"]],
	["hostHeaders", _routes({"route": [{"headers": {"request": {"add": {":authority": "evil.test"}}}}]}), ["host-header", "spec.http[0].route[0].headers.request"]],
	["hostHeaders", _routes({"headers": {"request": {"remove": ["host"]}}}), ["host-header", "spec.http[0].headers.request"]],
	["redirects", _routes({"redirect": {"authority": "evil.test"}}), ["redirect", "spec.http[0].redirect.authority"]],
	["mirrors", _routes({"mirror": {"host": "evil.test"}}), ["mirror", "spec.http[0].mirror.host"]],
	["mirrors", _routes({"mirrors": [{"destination": {"host": "evil.test"}}]}), ["mirror", "spec.http[0].mirrors[0].destination.host"]],
	["delegates", _routes({"delegate": {"name": "other", "namespace": "elsewhere"}}), ["delegate", "spec.http[0].delegate"]],
	["directResponses", _routes({"directResponse": {"status": 200}}), ["direct-response", "spec.http[0].directResponse"]],
]

test_deny_each_unless_it_is_switched_off if {
	every case in _cases {
		_found(case[1], {}) == {case[2]}
		_found(case[1], {case[0]: true}) == {case[2]}
		_found(case[1], {case[0]: false}) == set()
	}
}

test_allow_honest_routes if {
	every route in [
		{"route": [{"destination": {"host": "api.test"}, "headers": {"request": {"set": {"x-team": "a"}}}}], "rewrite": {"uri": "/"}},
		{"redirect": {"uri": "/new"}},
		{"redirect": {"authority": "api.test"}},
		{"mirror": {"host": "api.test"}},
	] {
		_found(_routes(route), {}) == set()
	}
}
