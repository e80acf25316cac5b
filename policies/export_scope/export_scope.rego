# METADATA
# title: Export scope
# description: Objects are for their own namespace, or for namespaces that are listed.
# custom:
#   fix: 'Set exportTo: ["."], or ask the platform team to allow the namespace.'
#   kinds: [DestinationRule, ServiceEntry, VirtualService]
#   parameters:
#     type: object
#     additionalProperties: false
#     properties:
#       namespaces:
#         description: 'Namespaces that others may export to, besides their own; * for everybody.'
#         type: array
#         uniqueItems: true
#         items:
#           type: string
#           pattern: '^(\*|[a-z0-9]([a-z0-9-]*[a-z0-9])?)$'
package policies.export_scope

import data.policies.lib.result

# METADATA
# title: Exported to all
# description: exportTo is left out, and everybody goes by the object.
# custom:
#   msg: without exportTo every namespace goes by it
#   fix: 'set exportTo: ["."], or name the namespaces that it is for'
deny contains result.of(rego.metadata.rule(), "spec.exportTo", [], []) if {
	count(_written) == 0
	_everybody
	not "*" in _allowed
}

# METADATA
# title: Exported to others
# description: exportTo names a namespace that is not listed.
# custom:
#   msg: exportTo %q is neither the own namespace nor allowed
#   fix: 'set exportTo: ["."], or ask the platform team to allow the namespace'
deny contains result.of(rego.metadata.rule(), sprintf("spec.exportTo[%d]", [i]), [to], []) if {
	some i, to in _written
	not to in {".", "~", input.namespace.name}
	not to in _allowed
	not "*" in _allowed
}

_written := object.get(input.object, ["spec", "exportTo"], [])

# What an exportTo that is left out means to entries and routes is in the facts: the configuration may narrow it.
_everybody if input.egress.allClients

_everybody if input.kind == "DestinationRule"

_allowed := {namespace | some namespace in object.get(input.parameters, "namespaces", [])}
