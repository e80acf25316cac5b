// Package version says which build this is.
package version

import "runtime/debug"

// release is set by the linker (make image), where the build is not one of a module version.
var release string

// String is the release, or what the build recorded: the module's version.
func String() string {
	if release != "" {
		return release
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}
