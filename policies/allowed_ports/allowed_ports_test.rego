package policies.allowed_ports_test

import data.policies.allowed_ports

_codes(from, via, port, protocol, parameters) := {result.code |
	some result in allowed_ports.deny with input as {
		"egress": {"routes": [{"host": "a.test", "port": port, "protocol": protocol, "from": from, "via": via, "field": "spec.ports[0]"}]},
		"parameters": parameters,
	}
}

test_deny_a_protocol_that_lies if {
	every case in [[443, "TCP"], [443, "HTTP"], [80, "TCP"], [80, "TLS"], [22, "TCP"], [8443, "TLS"]] {
		_codes("mesh", "gateway", case[0], case[1], {}) == {"port-not-allowed"}
		_codes("mesh", "direct", case[0], case[1], {}) == {"port-not-allowed"}
	}
}

test_allow_the_usual if {
	every case in [[443, "TLS"], [443, "https"], [80, "HTTP"], [80, "GRPC"]] {
		_codes("mesh", "gateway", case[0], case[1], {}) == set()
	}
	_codes("mesh", "mesh", 5432, "TCP", {}) == set()
}

test_listed_ports_take_the_place_of_the_usual if {
	parameters := {"ports": [{"port": 5432, "protocols": ["TCP"]}]}
	_codes("mesh", "gateway", 5432, "TCP", parameters) == set()
	_codes("mesh", "gateway", 443, "TLS", parameters) == {"port-not-allowed"}
}

test_where_calls_really_go if {
	_codes("gateway", "gateway", 22, "TLS", {}) == {"target-port-not-allowed"}
	_codes("gateway", "gateway", 443, "HTTP", {}) == set()
}
