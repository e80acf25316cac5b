# METADATA
# title: Hosts
# description: Compares canonical hosts with patterns, label by label, so that *foo.com never covers evilfoo.com.
package policies.lib.hosts

# METADATA
# scope: document
# title: Covered
# description: |
#   True when one of the patterns stands for all of a canonical host. A pattern is a host, *.example.com for every
#   host below example.com but not itself, or * for every host. What is looked up are the patterns that could cover
#   the host, so with a set the cost does not grow with the number of patterns.
covered(host, patterns) if host in patterns

covered(_, patterns) if "*" in patterns

covered(host, patterns) if {
	some dot in indexof_n(host, ".")
	dot > 0
	concat("", ["*", substring(host, dot, -1)]) in patterns
}

# METADATA
# scope: document
# title: Overlaps
# description: True when one of the patterns covers a canonical host, or the host is a wildcard over what one stands for.
overlaps(host, patterns) if covered(host, patterns)

overlaps(host, patterns) if {
	startswith(host, "*.")
	some pattern in patterns
	endswith(pattern, substring(host, 1, -1))
}

overlaps("*", patterns) if count(patterns) > 0

# METADATA
# scope: document
# title: Listed
# description: At most five patterns, sorted, for a sentence.
listed(patterns) := "none yet" if count(patterns) == 0

listed(patterns) := concat(", ", sort(patterns)) if {
	count(patterns) > 0
	count(patterns) <= 5
}

listed(patterns) := sprintf("%s and %d more", [concat(", ", array.slice(sort(patterns), 0, 5)), count(patterns) - 5]) if {
	count(patterns) > 5
}

# METADATA
# scope: document
# title: Within
# description: True when an address lies in one of the CIDRs, or is covered as a host by one of the patterns.
within(address, ranges) if covered(lower(address), ranges)

within(address, ranges) if {
	some range in ranges
	net.cidr_is_valid(range)
	_address(address)
	net.cidr_contains(range, address)
}

# Whatever else an author wrote in its place lies nowhere, and is no error.
_address(text) if net.cidr_is_valid(text)

_address(text) if net.cidr_is_valid(concat("/", [text, "32"]))
