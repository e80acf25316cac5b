package policies.lib.hosts_test

import data.policies.lib.hosts

test_covered if {
	every case in [
		["api.example.com", ["api.example.com"]],
		["api.example.com", {"*.example.com"}],
		["a.b.example.com", {"*.example.com"}],
		["a.b.example.com", {"*.b.example.com"}],
		["*.b.example.com", {"*.b.example.com"}],
		["*.b.example.com", {"*.example.com"}],
		["anything.test", {"*"}],
		["*.test", {"*"}],
	] {
		hosts.covered(case[0], case[1])
	}
}

test_not_covered if {
	every case in [
		["evilfoo.com", {"*foo.com", "*.foo.com", "foo.com"}],
		["foo.com", {"*.foo.com"}],
		["*.foo.com", {"foo.com", "a.foo.com"}],
		["foo.com.evil.test", {"foo.com", "*.foo.com"}],
		["foo.com", []],
		["com", {"*.com"}],
	] {
		not hosts.covered(case[0], case[1])
	}
}

test_listed if {
	hosts.listed(set()) == "none yet"
	hosts.listed({"b", "a"}) == "a, b"
	hosts.listed(["g", "f", "e", "d", "c", "b", "a"]) == "a, b, c, d, e and 2 more"
}

test_within if {
	hosts.within("10.1.2.3", {"10.0.0.0/8"})
	hosts.within("2001:db8::1", {"2001:db8::/32"})
	hosts.within("API.example.com", {"api.example.com"})
	not hosts.within("11.1.2.3", {"10.0.0.0/8", "example.com"})
	not hosts.within("example.com", {"10.0.0.0/8"})
}

test_overlaps if {
	every case in [["a.test", {"*.test"}], ["*.test", {"a.test"}], ["*.test", ["*.b.test"]], ["*", {"a.test"}]] {
		hosts.overlaps(case[0], case[1])
	}
	not hosts.overlaps("*.test", {"test", "a.example"})
	not hosts.overlaps("*", set())
}

# What is no address lies in no range, and keeps nobody's policy from an answer.
test_what_is_no_address if {
	every odd in ["1.2.3", "1.2.3.4.5", ".", ":", "f", "1.2.3.4/33", "::/129", ""] {
		not hosts.within(odd, {"0.0.0.0/0", "::/0"})
		not hosts.within("192.0.2.1", {concat("/", [odd, "8"])})
	}
}
