package policies.destination_tunnel_test

import data.policies.destination_tunnel

_fields(spec) := {result.field |
	some result in destination_tunnel.deny with input as {"object": {"spec": spec}, "parameters": {"allowedTargets": ["db.partner.test"]}}
}

_tunnel(host) := {"tunnel": {"protocol": "CONNECT", "targetHost": host, "targetPort": 443}}

test_deny_anywhere if {
	_fields({"host": "squid", "trafficPolicy": _tunnel("evil.test")}) == {"spec.trafficPolicy.tunnel"}
	_fields({"host": "squid", "subsets": [{"name": "a"}, {"name": "b", "trafficPolicy": _tunnel("Evil.test")}]}) == {"spec.subsets[1].trafficPolicy.tunnel"}
	_fields({"host": "squid", "trafficPolicy": {"portLevelSettings": [_tunnel("evil.test")]}}) == {"spec.trafficPolicy.portLevelSettings[0].tunnel"}
	_fields({"host": "squid", "trafficPolicy": {"tunnel": {}}}) == {"spec.trafficPolicy.tunnel"}
}

test_allow if {
	_fields({"host": "squid", "trafficPolicy": _tunnel("db.partner.test")}) == set()
	_fields({"host": "squid", "subsets": [{"name": "tunnel", "labels": {"tunnel": "yes"}}]}) == set()
}
