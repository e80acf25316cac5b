// Package policies holds the Rego library that ships with egress-governor.
package policies

import (
	"embed"
	"io/fs"
)

//go:embed lib allowed_hosts allowed_ports canonical_hosts denied_hosts destination_tunnel envoy_extensions expiring_hosts export_scope gateway_api_routes gateway_binding honest_endpoints host_owner mesh_hosts no_wildcards require_egress_gateway route_integrity schemas sidecar_outbound testdata tls_only workload_entries
var files embed.FS

// Library returns the Rego files: one folder per policy, what they share under lib, the schema of their input, and inputs for tests.
func Library() fs.FS { return files }
