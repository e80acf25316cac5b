# METADATA
# title: SaaS hosts
# description: Traffic leaves the mesh for hosts that there is a contract about.
# custom:
#   fix: ask the security team
#   kinds: [ServiceEntry]
package policies.saas_hosts

import data.policies.lib.result

# METADATA
# title: No contract
# description: The data of the bundle, saas.hosts, does not have the host.
# custom:
#   msg: there is no contract about host %q
deny contains result.of(rego.metadata.rule(), host.field, [host.host], []) if {
	some host in input.egress.hosts
	host.leaves
	not host.host in data.saas.hosts
}
