package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/bundle"
	"github.com/spf13/cobra"

	"github.com/egress-governor/egress-governor/internal/config"
	"github.com/egress-governor/egress-governor/internal/dryrun"
	"github.com/egress-governor/egress-governor/internal/policy"
	"github.com/egress-governor/egress-governor/policies"
)

// building are the flags of what makes a bundle of a folder; they are those of opa build.
type building struct {
	revision                  string
	signingKey, signingAlg    string
	claims, verificationKeyID string
}

func (b *building) bind(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&b.revision, "revision", "", "revision of the bundle (default: by its content)")
	flags.StringVar(&b.signingKey, "signing-key", "", "sign by this key: a PEM file (RSA and ECDSA), or the secret itself (HMAC)")
	flags.StringVar(&b.signingAlg, "signing-alg", "RS256", "algorithm of the signature")
	flags.StringVar(&b.claims, "claims-file", "", "JSON file of further claims of the signature")
	flags.StringVar(&b.verificationKeyID, "verification-key-id", "default", "name under which the webhook knows the key")
}

// build makes a bundle of a folder, checked as the webhook checks it.
func (b *building) build(folder string) ([]byte, error) {
	of, err := readBundle(folder)
	if err != nil {
		return nil, err
	}
	digest, err := checkBundle(folder, of)
	if err != nil {
		return nil, err
	}
	of.Manifest.Init()
	switch {
	case b.revision != "":
		of.Manifest.Revision = b.revision
	case of.Manifest.Revision == "":
		of.Manifest.Revision = digest
	}
	of.Signatures = bundle.SignaturesConfig{}
	if b.signingKey != "" {
		if err := of.GenerateSignature(bundle.NewSigningConfig(b.signingKey, b.signingAlg, b.claims), b.verificationKeyID, true); err != nil {
			return nil, fmt.Errorf("signature: %w", err)
		}
	}
	var out bytes.Buffer
	if err := bundle.NewWriter(&out).UseModulePath(true).DisableFormat(true).Write(*of); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// readBundle reads a folder, without tests of Rego, or a tarball.
func readBundle(path string) (*bundle.Bundle, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	loader := bundle.NewDirectoryLoader(path).WithFilter(func(_ string, info os.FileInfo, _ int) bool {
		return strings.HasSuffix(info.Name(), "_test.rego") || info.IsDir() && strings.HasPrefix(info.Name(), ".") && len(info.Name()) > 1
	})
	if !info.IsDir() {
		file, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer func() { _ = file.Close() }() // it was read
		loader = bundle.NewTarballLoaderWithBaseURL(file, "")
	}
	out, err := bundle.NewCustomReader(loader).WithSkipBundleVerification(true).WithProcessAnnotations(true).WithRegoVersion(ast.RegoV1).Read()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &out, nil
}

// checkBundle says whether the webhook takes a bundle, and returns what tells it from others. Errors name the files of the folder.
func checkBundle(folder string, of *bundle.Bundle) (digest string, err error) {
	engine, err := policy.NewEngine(policies.Library())
	if err != nil {
		return "", err
	}
	if digest, err = engine.CheckBundle(filepath.Clean(folder), of); err != nil {
		return "", err
	}
	used := func(file bundle.ModuleFile) bool {
		path := file.Parsed.Package.Path
		return len(path) == 3 && (path[1].Equal(ast.StringTerm("policies")) || path[1].Equal(ast.StringTerm("system")))
	}
	if !slices.ContainsFunc(of.Modules, used) {
		return "", fmt.Errorf("%s: there is no policy in it: a bundle has files of Rego whose packages are policies.<name>, and the Rego of EgressPolicies is not among them", folder)
	}
	return digest, nil
}

// bindBundles makes bundles a flag of a command.
func bindBundles(cmd *cobra.Command, bundles *[]string) {
	cmd.Flags().StringArrayVar(bundles, "bundle", nil, "a bundle whose policies EgressPolicies may use, NAME=PATH: its folder, or its tarball")
}

// standards are the policies in force before any EgressPolicy, with the bundles that are given as NAME=PATH.
func standards(configuration *config.Configuration, bundles []string) (*policy.Engine, error) {
	out, err := dryrun.Standards(configuration)
	if err != nil {
		return nil, err
	}
	for _, given := range bundles {
		name, path, is := strings.Cut(given, "=")
		if !is || name == "" || path == "" {
			return nil, fmt.Errorf("--bundle must be NAME=PATH, is %q", given)
		}
		of, err := readBundle(path)
		if err == nil {
			err = out.SetBundle(name, of)
		}
		if err != nil {
			return nil, fmt.Errorf("--bundle %s: %w", given, err)
		}
	}
	return out, nil
}

func buildCommand() *cobra.Command {
	var flags building
	var output string
	out := &cobra.Command{
		Use: "build FOLDER", Short: "Make a bundle of a folder of policies", Args: cobra.ExactArgs(1),
		Long: `Makes an OPA bundle of the Rego and the data (data.json, data.yaml) of a folder, checked as the webhook checks it, and signs it.

Any web server can serve it to the webhook; policy push puts it into a registry.`,
		Example: `  egressctl policy build acme/ --output acme.tar.gz

  # Signed, as the webhook verifies it by its key "release"
  egressctl policy build acme/ -o acme.tar.gz --signing-key release.pem --signing-alg ES256 --verification-key-id release`,
		RunE: func(cmd *cobra.Command, args []string) error {
			packed, err := flags.build(args[0])
			if err != nil {
				return err
			}
			if err := os.WriteFile(output, packed, 0o644); err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), output)
			return err
		},
	}
	flags.bind(out)
	out.Flags().StringVarP(&output, "output", "o", "bundle.tar.gz", "file that is written")
	_ = out.MarkFlagFilename("output", "tar.gz") // the flag is there
	return out
}

// verifying are the flags of what verifies a bundle; they are those of opa run.
type verifying struct {
	key, alg, keyID, scope string
	skip                   bool
}

func (v *verifying) bind(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&v.key, "verification-key", "", "verify by this key: a PEM file (RSA and ECDSA), or the secret itself (HMAC)")
	flags.StringVar(&v.alg, "signing-alg", "RS256", "algorithm of the signature")
	flags.StringVar(&v.keyID, "verification-key-id", "default", "name of the key, as it was signed with")
	flags.StringVar(&v.scope, "scope", "", "scope that the signature must have")
	flags.BoolVar(&v.skip, "skip-verify", false, "take a bundle whose signature nobody verified")
	cmd.MarkFlagsOneRequired("verification-key", "skip-verify")
	cmd.MarkFlagsMutuallyExclusive("verification-key", "skip-verify")
}

// verify reads a bundle, and verifies its signature.
func (v *verifying) verify(packed []byte) (*bundle.Bundle, error) {
	reader := bundle.NewReader(bytes.NewReader(packed)).WithProcessAnnotations(true).WithRegoVersion(ast.RegoV1).WithSizeLimitBytes(maxPulled)
	if v.skip {
		reader = reader.WithSkipBundleVerification(true)
	} else {
		key, err := os.ReadFile(v.key)
		switch {
		case errors.Is(err, os.ErrNotExist) && strings.HasPrefix(v.alg, "HS"):
			key = []byte(v.key)
		case err != nil:
			return nil, err
		}
		reader = reader.WithBundleVerificationConfig(bundle.NewVerificationConfig(
			map[string]*bundle.KeyConfig{v.keyID: {Key: string(key), Algorithm: v.alg, Scope: v.scope}}, v.keyID, v.scope, nil))
	}
	out, err := reader.Read()
	return &out, err
}
