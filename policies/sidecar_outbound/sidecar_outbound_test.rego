package policies.sidecar_outbound_test

import data.policies.sidecar_outbound

_found(spec) := {[result.code, result.field] | some result in sidecar_outbound.deny with input as {"object": {"spec": spec}}}

test_deny if {
	_found({"outboundTrafficPolicy": {"mode": "ALLOW_ANY"}}) == {["allow-any", "spec.outboundTrafficPolicy.mode"]}
	every mode in ["ALLOW_ANY_DYNAMIC_DNS", "allow_any", "", 1] {
		_found({"outboundTrafficPolicy": {"mode": mode}}) == {["allow-any", "spec.outboundTrafficPolicy.mode"]}
	}
	_found({"outboundTrafficPolicy": {"egressProxy": {"host": "evil.test"}}}) == {["egress-proxy", "spec.outboundTrafficPolicy.egressProxy"]}
	_found({"egress": [{"hosts": ["./*"]}, {"hosts": ["./*"], "captureMode": "NONE"}]}) == {["no-capture", "spec.egress[1].captureMode"]}
}

test_allow if {
	_found({"outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"}, "egress": [{"hosts": ["./*"], "captureMode": "IPTABLES"}]}) == set()
	_found({}) == set()
}
