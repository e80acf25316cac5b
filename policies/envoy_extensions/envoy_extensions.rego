# METADATA
# title: Envoy extensions
# description: What changes proxies past Istio's own API is for those who are named.
# custom:
#   fix: Ask the platform team to apply it, or to name the namespace.
#   kinds: [EnvoyFilter, ProxyConfig, TrafficExtension, WasmPlugin]
#   baseline: {}
#   parameters:
#     type: object
#     additionalProperties: false
#     properties:
#       namespaces: {type: array, description: Namespaces that may have them., uniqueItems: true, items: {type: string}}
#       users: {type: array, description: Users who may write them in any namespace., uniqueItems: true, items: {type: string}}
#       groups: {type: array, description: Groups whose users may., uniqueItems: true, items: {type: string}}
package policies.envoy_extensions

import data.policies.lib.result

# METADATA
# title: Extension
# description: Neither the namespace nor the user is among those who are named.
# custom:
#   msg: '%s changes proxies past what can be judged, and neither the namespace nor the user may do so'
#   fix: ask the platform team to apply it, or to name the namespace (namespaces) or the user (users, groups)
deny contains result.of(rego.metadata.rule(), "kind", [input.kind], []) if {
	not input.namespace.name in _parameter("namespaces")
	not input.user.name in _parameter("users")
	count({group | some group in input.user.groups} & _parameter("groups")) == 0
}

_parameter(name) := {value | some value in object.get(input.parameters, name, [])}
