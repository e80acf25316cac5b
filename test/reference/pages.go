package reference

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/egress-governor/egress-governor/internal/policy"
	"github.com/egress-governor/egress-governor/policies"
	"github.com/egress-governor/egress-governor/test/codes"
)

// Pages returns the documents that are made of the source, by their names in docs. Library is the folder of the policies,
// examples that of the examples of codes.
func Pages(ctx context.Context, library, examples string) (map[string]string, error) {
	out := map[string]string{}
	read, err := codes.Load(examples)
	if err != nil {
		return nil, err
	}
	pages, err := codes.Pages(ctx, read)
	if err != nil {
		return nil, err
	}
	for name, page := range pages {
		out["codes/"+name] = page
	}
	raw, err := os.ReadFile(filepath.Join(library, "schemas", "input.json"))
	if err != nil {
		return nil, err
	}
	if out["input.md"], err = Input(raw); err != nil {
		return nil, err
	}
	engine, err := policy.NewEngine(policies.Library())
	if err != nil {
		return nil, err
	}
	described, err := engine.Describe()
	if err != nil {
		return nil, err
	}
	out["library.md"], err = Library(described, os.DirFS(library))
	return out, err
}

// Input returns the page about the input of policies, by its schema.
func Input(raw []byte) (string, error) {
	of, err := read(raw)
	if err != nil {
		return "", err
	}
	rows, err := of.rows("input", of.Definitions)
	if err != nil {
		return "", err
	}
	var table strings.Builder
	for _, row := range rows {
		fmt.Fprintf(&table, "| `%s` | %s | %s |\n", row.path, row.kind, cell(row.description))
	}
	return fmt.Sprintf(`# The input of policies

What Rego sees as %[1]sinput%[1]s. [policies/schemas/input.json](../policies/schemas/input.json) is its JSON Schema, for %[1]sopa check --schema%[1]s and editors; all
fields are there in any case but %[1]sowner%[1]s of a host and %[1]sserviceAccounts%[1]s. %[1]segressctl input -f FILES%[1]s prints that of manifests, and
[policies/testdata](../policies/testdata) has real ones.

| field | type | it is |
|---|---|---|
%[2]s
<!-- Generated from policies/schemas/input.json by make generate. -->
`, "`", table.String()), nil
}

// Library returns the page about the library, by what its policies say of themselves.
func Library(described []policy.Description, library fs.FS) (string, error) {
	var out strings.Builder
	out.WriteString(`# The library

Every policy of the library, by its own METADATA: ` + "`egressctl library NAME`" + ` prints the same. [policies.md](policies.md) says how an
EgressPolicy selects and enforces, and what of these is in force from the start.

`)
	for _, of := range described {
		fmt.Fprintf(&out, "- [`%s`](#%s): %s\n", of.Name, of.Name, of.Description)
	}
	for _, of := range described {
		section, err := section(of, library)
		if err != nil {
			return "", fmt.Errorf("%s: %w", of.Name, err)
		}
		out.WriteString(section)
	}
	out.WriteString("\n<!-- Generated from policies by make generate. -->\n")
	return out.String(), nil
}

func section(of policy.Description, library fs.FS) (string, error) {
	var out strings.Builder
	fmt.Fprintf(&out, "\n## %s\n\n%s", of.Name, of.Description)
	if of.Baseline != "" {
		fmt.Fprintf(&out, " In the baseline: %s.", of.Baseline)
	}
	kinds := make([]string, len(of.Kinds))
	for i, kind := range of.Kinds {
		kinds[i] = string(kind)
	}
	fmt.Fprintf(&out, "\n\nIt is for %s.\n\n", strings.Join(kinds, ", "))
	if err := parameters(&out, of); err != nil {
		return "", err
	}
	out.WriteString("| code | says |\n|---|---|\n")
	for _, rule := range of.Rules {
		fmt.Fprintf(&out, "| [`%s`](codes/%s.md) | %s |\n", rule.Code, rule.Code, cell(rule.Description))
	}
	example, err := fs.ReadFile(library, strings.ReplaceAll(of.Name, "-", "_")+"/example.yaml")
	if err != nil {
		return "", err
	}
	fmt.Fprintf(&out, "\n```yaml\n%s\n```\n", strings.TrimSpace(string(example)))
	return out.String(), nil
}

func parameters(out *strings.Builder, of policy.Description) error {
	written, err := read(of.Parameters)
	if err != nil {
		return err
	}
	rows, err := written.rows("", nil)
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		out.WriteString("It takes no parameters.\n\n")
		return nil
	}
	out.WriteString("| parameter | type | it is |\n|---|---|---|\n")
	for _, row := range rows {
		needed := ""
		if row.required {
			needed = "Required. "
		}
		fmt.Fprintf(out, "| `%s` | %s | %s |\n", row.path, row.kind, needed+cell(row.description))
	}
	out.WriteString("\n")
	return nil
}
