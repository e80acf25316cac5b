package policies.mesh_hosts_test

import data.policies.mesh_hosts

_codes(kind, canonical, in_mesh) := {result.code |
	some result in mesh_hosts.deny with input as {"kind": kind, "egress": {"hosts": [{
		"host": canonical,
		"canonical": canonical,
		"inMesh": in_mesh,
		"field": "spec.hosts[0]",
	}]}}
}

test_deny_host_of_the_mesh if {
	_codes("ServiceEntry", "db.internal.test", true) == {"mesh-host"}
	_codes("ServiceEntry", "reviews.shop.svc", false) == {"mesh-host"}
	_codes("ServiceEntry", "svc", false) == {"mesh-host"}
}

test_deny_service_form if {
	every host in [
		"reviews.shop.svc.other.domain",
		"reviews.shop.svc.clusterset.local",
		"reviews.shop.svc.cluster",
		"pod-0.reviews.shop.svc.other.domain",
		"reviews.svc.svc.other.domain",
		"*.shop.svc.other.domain",
		"*.svc.clusterset.local",
	] {
		_codes("ServiceEntry", host, false) == {"service-form"}
	}
	_codes("ServiceEntry", "reviews.shop.svc.cluster.local", true) == {"mesh-host"}
}

test_deny_short_name if {
	_codes("ServiceEntry", "reviews", false) == {"short-name"}
}

test_sentences if {
	document := {"kind": "ServiceEntry", "egress": {"hosts": [
		{"host": "a.svc", "canonical": "a.svc", "inMesh": false, "field": "spec.hosts[0]"},
		{"host": "reviews", "canonical": "reviews", "inMesh": false, "field": "spec.hosts[1]"},
		{"host": "a.b.svc.c.d", "canonical": "a.b.svc.c.d", "inMesh": false, "field": "spec.hosts[2]"},
	]}}
	{[r.field, r.msg, r.fix] | some r in mesh_hosts.deny with input as document} == {
		["spec.hosts[0]", `host "a.svc" belongs to the mesh`, "name an external host; a Service needs no ServiceEntry"],
		["spec.hosts[1]", `host "reviews" is a short name, such as workloads call Services by`, "write the full name of the external host"],
		[
			"spec.hosts[2]",
			`host "a.b.svc.c.d" has the form of a Service of a cluster, name.namespace.svc and a domain`,
			"name an external host; where this is one, ask the platform team to set this policy to Warn",
		],
	}
}

test_allow_external_host if {
	_codes("ServiceEntry", "api.example.com", false) == set()
	_codes("ServiceEntry", "msvc.example.com", false) == set()
	_codes("ServiceEntry", "shop.eu.msvc.example.com", false) == set()
	_codes("ServiceEntry", "docs-abc123.svc.us-east1-gcp.pinecone.io", false) == set()
	_codes("ServiceEntry", "orders.svc.example.com", false) == set()
	_codes("ServiceEntry", "svc.example.com", false) == set()
}

test_allow_virtual_service_of_the_mesh if {
	_codes("VirtualService", "reviews.shop.svc.cluster.local", true) == set()
}
