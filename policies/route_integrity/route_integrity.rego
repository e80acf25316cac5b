# METADATA
# title: Route integrity
# description: Calls arrive at the host that they are for, as they were made.
# custom:
#   fix: Lead the calls to their host, or ask the platform team to allow this kind of change.
#   kinds: [DestinationRule, Gateway, ServiceEntry, VirtualService]
#   baseline:
#     parameters:
#       authorityRewrites: false
#       delegates: false
#       directResponses: false
#       hostHeaders: false
#       mirrors: false
#       redirects: false
#   parameters:
#     type: object
#     additionalProperties: false
#     properties:
#       authorityRewrites: {type: boolean, description: Whether it judges authorities that routes write anew; true by default.}
#       delegates: {type: boolean, description: Whether it judges routes that delegate; true by default.}
#       directResponses: {type: boolean, description: Whether it judges answers of the proxy itself; true by default.}
#       hostHeaders: {type: boolean, description: Whether it judges routes that change the Host header; true by default.}
#       internalAnnotations: {type: boolean, description: Whether it judges annotations and labels of istiod's own; true by default.}
#       mirrors: {type: boolean, description: Whether it judges copies of calls to another host; true by default.}
#       redirects: {type: boolean, description: Whether it judges redirects to another host; true by default.}
package policies.route_integrity

import data.policies.lib.result

# METADATA
# title: Internal annotation
# description: The object has an annotation or a label by which istiod marks what it made itself, and reads differently.
# custom:
#   msg: "%q is istiod's own"
#   fix: remove it
deny contains result.of(rego.metadata.rule(), sprintf("metadata.%s[%s]", [kind, key]), [key], []) if {
	_denied("internalAnnotations")
	some kind in ["annotations", "labels"]
	some key, _ in input.object.metadata[kind]
	startswith(key, "internal.istio.io/")
}

# METADATA
# title: Authority rewrite
# description: A route asks the far side for another host than was called.
# custom:
#   msg: calls would ask for host %q instead of the one that they are for
#   fix: remove rewrite.authority
deny contains result.of(rego.metadata.rule(), sprintf("spec.http[%d].rewrite.authority", [i]), [route.rewrite.authority], []) if {
	_denied("authorityRewrites")
	some i, route in input.object.spec.http
	route.rewrite.authority
}

# METADATA
# title: Host header
# description: A route changes the header by which the far side tells hosts apart.
# custom:
#   msg: header %q is changed, by which hosts are told apart
#   fix: remove it from the headers
deny contains result.of(rego.metadata.rule(), field, [name], []) if {
	_denied("hostHeaders")
	some [field, headers] in _headers
	some name in _named(headers)
	lower(name) in {"host", ":authority"}
}

# METADATA
# title: Redirect
# description: A route answers that the client is to call another host.
# custom:
#   msg: clients would be sent on to host %q
#   fix: remove redirect.authority
deny contains result.of(rego.metadata.rule(), sprintf("spec.http[%d].redirect.authority", [i]), [route.redirect.authority], []) if {
	_denied("redirects")
	some i, route in input.object.spec.http
	route.redirect.authority
	not route.redirect.authority in _hosts
}

# METADATA
# title: Mirror
# description: A route sends copies of the calls to another host.
# custom:
#   msg: copies of the calls would go to host %q
#   fix: remove the mirror
deny contains result.of(rego.metadata.rule(), field, [host], []) if {
	_denied("mirrors")
	some [field, host] in _mirrors
	not host in _hosts
}

# METADATA
# title: Delegate
# description: Another VirtualService decides over the calls.
# custom:
#   msg: VirtualService %q would decide over the calls
#   fix: write the routes into this VirtualService
deny contains result.of(rego.metadata.rule(), sprintf("spec.http[%d].delegate", [i]), [object.get(route.delegate, "name", "")], []) if {
	_denied("delegates")
	some i, route in input.object.spec.http
	route.delegate
}

# METADATA
# title: Direct response
# description: The proxy answers in place of the host.
# custom:
#   msg: the proxy would answer in place of the host
#   fix: remove directResponse
deny contains result.of(rego.metadata.rule(), sprintf("spec.http[%d].directResponse", [i]), [], []) if {
	_denied("directResponses")
	some i, route in input.object.spec.http
	route.directResponse
}

_denied(change) if object.get(input.parameters, change, true)

_hosts := {host | some host in object.get(input.object, ["spec", "hosts"], [])}

_headers contains [sprintf("spec.http[%d].headers.request", [i]), route.headers.request] if {
	some i, route in input.object.spec.http
}

_headers contains [sprintf("spec.http[%d].route[%d].headers.request", [i, j]), to.headers.request] if {
	some i, route in input.object.spec.http
	some j, to in route.route
}

_named(headers) := {name | some change in ["add", "set"]; some name, _ in headers[change]} | {name | some name in headers.remove}

_mirrors contains [sprintf("spec.http[%d].mirror.host", [i]), route.mirror.host] if {
	some i, route in input.object.spec.http
}

_mirrors contains [sprintf("spec.http[%d].mirrors[%d].destination.host", [i, j]), mirror.destination.host] if {
	some i, route in input.object.spec.http
	some j, mirror in route.mirrors
}
