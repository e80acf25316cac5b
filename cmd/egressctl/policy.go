package main

import (
	_ "embed" // the files that are written
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/policy"
	"github.com/egress-governor/egress-governor/policies"
)

var (
	//go:embed scaffold/policy.yaml
	scaffoldPolicy string
	//go:embed scaffold/suite.yaml
	scaffoldSuite string
)

func policyCommand() *cobra.Command {
	out := &cobra.Command{Use: "policy", Short: "Begin policies of your own, look after them, and hand them on as bundles"}
	var folder string
	begin := &cobra.Command{
		Use: "new NAME", Short: "Write an EgressPolicy with Rego of its own, and its suite", Args: cobra.ExactArgs(1),
		Long: `Writes an EgressPolicy whose Rego has METADATA, a schema of its parameters and a rule, and a suite of cases about it, to begin with.

The suite passes as it is: egressctl test NAME`,
		Example: `  egressctl policy new answered-for`,
		RunE: func(cmd *cobra.Command, args []string) error {
			files, err := scaffold(args[0])
			if err != nil {
				return err
			}
			if folder == "" {
				folder = args[0]
			}
			return write(cmd, folder, files)
		},
	}
	begin.Flags().StringVar(&folder, "folder", "", "folder that is written into (default NAME)")
	out.AddCommand(begin, lintCommand(), fmtCommand(), benchCommand(), buildCommand(), pushCommand(), pullCommand())
	return out
}

// file is one that is written.
type file struct{ name, content string }

// scaffold returns the files of a policy. The error is that of a name that no policy may have.
func scaffold(name string) ([]file, error) {
	if wrong := validation.IsDNS1123Label(name); len(wrong) > 0 {
		return nil, fmt.Errorf("%q is no name: %s", name, strings.Join(wrong, "; "))
	}
	if strings.HasPrefix(name, policy.BaselinePrefix) {
		return nil, fmt.Errorf("%q is no name: those of the baseline begin with %s", name, policy.BaselinePrefix)
	}
	spaced := strings.ReplaceAll(name, "-", " ")
	replace := strings.NewReplacer("NAME", name, "TITLE", strings.ToUpper(spaced[:1])+spaced[1:], "PACKAGE", strings.ReplaceAll(name, "-", "_"))
	out := []file{
		{name + ".yaml", replace.Replace(scaffoldPolicy)},
		{filepath.Join("tests", name+"_test.yaml"), replace.Replace(scaffoldSuite)},
	}
	var of v1alpha1.EgressPolicy
	if err := yaml.UnmarshalStrict([]byte(out[0].content), &of); err != nil {
		return nil, err
	}
	engine, err := policy.NewEngine(policies.Library())
	if err == nil {
		err = engine.Check(&of)
	}
	if err != nil {
		return nil, fmt.Errorf("%q is no name of a package of Rego: %w", name, err)
	}
	return out, nil
}

// write writes files that are not there yet.
func write(cmd *cobra.Command, folder string, files []file) error {
	for _, each := range files {
		if _, err := os.Lstat(filepath.Join(folder, each.name)); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s is there already", filepath.Join(folder, each.name))
		}
	}
	for _, each := range files {
		path := filepath.Join(folder, each.name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(each.content), 0o644); err != nil {
			return err
		}
		fmt.Fprintln(cmd.OutOrStdout(), path)
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "Now: egressctl test %s\n", folder)
	return err
}
