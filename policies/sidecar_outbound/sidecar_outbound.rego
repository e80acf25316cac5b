# METADATA
# title: Sidecar outbound
# description: A Sidecar does not let out what no entry names.
# custom:
#   fix: Leave outboundTrafficPolicy and captureMode out, and name hosts in a ServiceEntry.
#   kinds: [Sidecar]
#   baseline: {}
#   parameters:
#     type: object
#     additionalProperties: false
package policies.sidecar_outbound

import data.policies.lib.result

# METADATA
# title: Allow any
# description: The mode takes the place of the mesh's, and lets calls to every address or name out.
# custom:
#   msg: mode %s lets calls that no entry names out, past the egress gateway
#   fix: remove it, and name the hosts in a ServiceEntry
deny contains result.of(rego.metadata.rule(), "spec.outboundTrafficPolicy.mode", [mode], []) if {
	mode := input.object.spec.outboundTrafficPolicy.mode
	mode != "REGISTRY_ONLY"
}

# METADATA
# title: Egress proxy
# description: Everything that no entry names would go to a host of the author's choice.
# custom:
#   msg: calls that no entry names would all go to %q
#   fix: remove it; hosts of a ServiceEntry leave through the egress gateway by themselves
deny contains result.of(rego.metadata.rule(), "spec.outboundTrafficPolicy.egressProxy", [object.get(proxy, "host", "")], []) if {
	proxy := input.object.spec.outboundTrafficPolicy.egressProxy
}

# METADATA
# title: No capture
# description: An egress listener does not capture the calls that it is for.
# custom:
#   msg: with captureMode NONE the sidecar sees only what is sent to it by name
#   fix: remove captureMode
deny contains result.of(rego.metadata.rule(), sprintf("spec.egress[%d].captureMode", [i]), [], []) if {
	some i, listener in input.object.spec.egress
	listener.captureMode == "NONE"
}
