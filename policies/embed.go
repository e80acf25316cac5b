// Package policies holds the Rego library that ships with egress-governor.
package policies

import (
	"embed"
	"io/fs"
)

//go:embed lib allowed_hosts canonical_hosts honest_endpoints host_owner mesh_hosts require_egress_gateway
var files embed.FS

// Library returns the Rego files: one folder per policy, and what they share under lib.
func Library() fs.FS { return files }
