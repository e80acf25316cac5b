package house

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// apart is what a module has of another version because it must: OpenTelemetry's collector is not built with the glob of Open Policy Agent.
var apart = map[string]string{"test/otlp": "github.com/gobwas/glob"}

// TestModulesShareVersions: a cold cache builds twice what two modules have of two versions, and whatever imports it. Modules whose
// programs are bound to a Kubernetes of their own are left out.
func TestModulesShareVersions(t *testing.T) {
	t.Parallel()
	product := versions(t, ".")
	for _, folder := range []string{"test", "test/otlp", "test/routing", "tools", "tools/cluster", "tools/code", "tools/image"} {
		both := 0
		for path, version := range versions(t, folder) {
			if ours, shared := product[path]; shared && path != apart[folder] {
				both++
				assert.Equal(t, ours, version, "%s: %s; go get %s@%s", folder, path, path, ours)
			}
		}
		assert.Positive(t, both, folder)
	}
}

// versions returns the version of each module that a module of the tree requires.
func versions(t *testing.T, folder string) map[string]string {
	t.Helper()
	edit := exec.CommandContext(t.Context(), "go", "mod", "edit", "-json")
	edit.Dir = filepath.Join(root, folder)
	raw, err := edit.Output()
	require.NoError(t, err)
	type pinned struct{ Path, Version string }
	var file struct {
		Require []pinned
		Replace []struct{ Old, New pinned }
	}
	require.NoError(t, json.Unmarshal(raw, &file))
	out := map[string]string{}
	for _, of := range file.Require {
		out[of.Path] = of.Version
	}
	for _, of := range file.Replace {
		if of.New.Version != "" {
			out[of.Old.Path] = of.New.Version
		}
	}
	return out
}
