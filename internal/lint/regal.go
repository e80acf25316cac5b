package lint

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/egress-governor/egress-governor/internal/manifest"
	"github.com/egress-governor/egress-governor/policies"
)

// unfit are the rules of regal that say nothing here: opa fmt is asked of OPA itself, policies are asked by deny and warn, and those of
// EgressPolicies stand in no folder.
var unfit = []string{"opa-fmt", "no-defined-entrypoint", "directory-package-mismatch"}

// Regal returns what a program of regal finds in sources, by its own configuration: that of the folder, or of a folder above.
func Regal(ctx context.Context, program string, sources []*Source) ([]Finding, error) {
	folder, err := os.MkdirTemp("", "egressctl-lint-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(folder) }() // of what is temporary nothing is lost
	args := []string{"lint", "--format", "json"}
	for _, rule := range unfit {
		args = append(args, "--disable", rule)
	}
	by := map[string]*Source{}
	inline := false
	for i, source := range sources {
		file := source.File
		if source.inline() {
			inline = true
			file = filepath.Join(folder, fmt.Sprint(i), source.name())
			if err := write(file, source.Rego); err != nil {
				return nil, err
			}
		}
		by[filepath.Clean(file)] = source
		args = append(args, file)
	}
	if inline {
		// What they import.
		if err := os.CopyFS(filepath.Join(folder, "library"), shared{policies.Library()}); err != nil {
			return nil, err
		}
		args = append(args, filepath.Join(folder, "library"))
	}
	return regal(ctx, program, args, by)
}

func write(file, text string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	return os.WriteFile(file, []byte(text), 0o600)
}

// shared is what all policies of the library share.
type shared struct{ fs.FS }

// Open implements fs.FS.
func (s shared) Open(name string) (fs.File, error) {
	if name == "." {
		return s.FS.Open("lib")
	}
	return s.FS.Open("lib/" + name)
}

func regal(ctx context.Context, program string, args []string, by map[string]*Source) (out []Finding, err error) {
	var printed, told bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdout, cmd.Stderr = &printed, &told
	// It exits otherwise than with 0 where it finds something.
	failed := cmd.Run()
	var got struct {
		Violations []struct {
			Title, Description string
			Location           struct {
				File string
				Row  int
			}
		}
	}
	if err := json.Unmarshal(printed.Bytes(), &got); err != nil {
		return nil, fmt.Errorf("%s lint: %w", program, errors.Join(failed, errors.New(strings.TrimSpace(told.String()))))
	}
	for _, violation := range got.Violations {
		source := by[filepath.Clean(violation.Location.File)]
		if source == nil || source.library() {
			continue
		}
		out = append(out, Finding{"regal/" + violation.Title, source.File, source.at(max(violation.Location.Row, 1)), violation.Description})
	}
	return out, nil
}

// String is a finding as compilers write one.
func (f Finding) String() string {
	return manifest.Place(f.File, f.Line) + ": " + f.Rule + ": " + f.Message
}

// Merge returns findings of several, by file and line.
func Merge(all ...[]Finding) (out []Finding) {
	for _, each := range all {
		out = append(out, each...)
	}
	return sorted(out)
}
