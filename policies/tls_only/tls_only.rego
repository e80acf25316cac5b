# METADATA
# title: TLS only
# description: What leaves the mesh is encrypted by whoever calls.
# custom:
#   fix: Call the host by HTTPS, and declare the port with protocol TLS.
#   kinds: [ServiceEntry]
#   parameters:
#     type: object
#     additionalProperties: false
#     properties:
#       except:
#         description: Hosts that may be called unencrypted.
#         type: array
#         uniqueItems: true
#         items:
#           type: string
#           pattern: '^(\*|(\*\.)?[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?)$'
package policies.tls_only

import data.policies.lib.hosts
import data.policies.lib.result

# METADATA
# title: Not TLS
# description: A port of an external host has a protocol that is not encrypted.
# custom:
#   msg: port %d of host %q is %s, which is not encrypted
#   fix: call the host by HTTPS and declare the port with protocol TLS, or ask the platform team to except the host
deny contains result.of(rego.metadata.rule(), route.field, [route.port, route.host, route.protocol], []) if {
	some route in input.egress.routes
	route.from == "mesh"
	route.via in {"direct", "gateway"}
	not upper(route.protocol) in {"HTTPS", "TLS"}
	not hosts.covered(route.host, _except)
}

_except := {pattern | some pattern in object.get(input.parameters, "except", [])}
