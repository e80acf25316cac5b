package main

import (
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/policy"
	"github.com/egress-governor/egress-governor/policies"
)

func libraryCommand() *cobra.Command {
	var output, folder string
	out := &cobra.Command{
		Use: "library [POLICY]", Short: "List the policies of the library, or describe one", Args: cobra.MaximumNArgs(1),
		Long: `Lists the policies of the library as they describe themselves, or describes one: its parameters, and an EgressPolicy that uses it.`,
		Example: `  egressctl library
  egressctl library allowed-hosts

  # The Rego of all, for opa and conftest
  egressctl library --write library/`,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			described, _ := describe() // nothing to offer then
			return names(described), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			described, err := describe()
			switch {
			case err != nil:
				return err
			case folder != "":
				return writeLibrary(folder)
			case len(args) == 1:
				return printPolicy(cmd.OutOrStdout(), described, args[0])
			}
			return printLibrary(cmd.OutOrStdout(), described, output)
		},
	}
	out.Flags().StringVarP(&output, "output", "o", "table", "table, json or yaml")
	completes(out, "output", "table", "json", "yaml")
	out.Flags().StringVar(&folder, "write", "", "write the Rego of the library, its examples, and the schema of its input with two of them, into this folder")
	return out
}

func describe() ([]policy.Description, error) {
	engine, err := policy.NewEngine(policies.Library())
	if err != nil {
		return nil, err
	}
	return engine.Describe()
}

func names(described []policy.Description) (out []string) {
	for _, of := range described {
		out = append(out, of.Name)
	}
	return out
}

func printLibrary(w io.Writer, described []policy.Description, output string) error {
	switch output {
	case "json":
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(described)
	case "yaml":
		raw, err := yaml.Marshal(described)
		if err == nil {
			_, err = w.Write(raw)
		}
		return err
	case "table":
		rows := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
		fmt.Fprintln(rows, "POLICY\tBASELINE\tDESCRIPTION")
		for _, of := range described {
			fmt.Fprintf(rows, "%s\t%s\t%s\n", of.Name, of.Baseline, of.Description)
		}
		return rows.Flush()
	}
	return oneOf("output", output, []string{"table", "json", "yaml"})
}

// printPolicy describes one policy, and shows an EgressPolicy that uses it.
func printPolicy(w io.Writer, described []policy.Description, name string) error {
	i := slices.IndexFunc(described, func(of policy.Description) bool { return of.Name == name })
	if i < 0 {
		return fmt.Errorf("the library has no policy %q; it has %s", name, strings.Join(names(described), ", "))
	}
	raw, err := yaml.Marshal(described[i])
	if err != nil {
		return err
	}
	example, err := fs.ReadFile(policies.Library(), strings.ReplaceAll(name, "-", "_")+"/example.yaml")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s---\n%s", raw, example)
	return err
}

// writeLibrary writes the library as opa reads it, with inputs for tests and the example of each policy, without its own tests: they
// would be run among others.
func writeLibrary(folder string) error {
	return fs.WalkDir(policies.Library(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasSuffix(name, "_test.rego") {
			return err
		}
		raw, err := fs.ReadFile(policies.Library(), name)
		if err != nil {
			return err
		}
		file := filepath.Join(folder, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		return os.WriteFile(file, raw, 0o600)
	})
}
