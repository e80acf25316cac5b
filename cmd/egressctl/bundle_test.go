package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// releaseKey writes a pair of keys into a folder, and returns their files.
func releaseKey(t *testing.T, folder string) (private, public string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	own, err := x509.MarshalECPrivateKey(key)
	require.NoError(t, err)
	shown, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	require.NoError(t, err)
	private, public = filepath.Join(folder, "release.pem"), filepath.Join(folder, "release.pub")
	require.NoError(t, os.WriteFile(private, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: own}), 0o600))
	require.NoError(t, os.WriteFile(public, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: shown}), 0o600))
	return private, public
}

// TestABundleIsWhatItsFolderIs: manifests are answered by either alike, and it is verified as it was signed.
func TestABundleIsWhatItsFolderIs(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	private, public := releaseKey(t, folder)
	packed := filepath.Join(folder, "acme.tar.gz")
	code, _, errs := run(t, "", "policy", "build", "testdata/acme", "-o", packed, "--signing-key", private, "--signing-alg", "ES256", "--verification-key-id", "release")
	require.Equal(t, clean, code, errs)
	for _, path := range []string{"testdata/acme", packed} {
		code, out, errs := run(t, "", "review", "-f", "testdata/evil.yaml", "-p", "testdata/acme.yaml", "--bundle", "acme="+path)
		assert.Equal(t, violations, code, errs)
		assert.Contains(t, out, `contracts: spec.hosts[1]: there is no contract about host "evil.io" (acme/saas-hosts).`)
		assert.Contains(t, out, "Fix: ask the security team")
		assert.NotContains(t, out, "api.stripe.com\" (acme")
	}
	suite := filepath.Join(folder, "contracts_test.yaml")
	acme, err := filepath.Abs("testdata/acme.yaml")
	require.NoError(t, err)
	evil, err := filepath.Abs("testdata/evil.yaml")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(suite, []byte("policies: ["+acme+"]\ncases:\n- {name: no contract, manifest: "+evil+", expect: {decision: denied, code: no-contract}}\n"), 0o600))
	code, out, errs := run(t, "", "test", suite, "--bundle", "acme="+packed)
	assert.Equal(t, clean, code, out+errs)
	raw, err := os.ReadFile(packed)
	require.NoError(t, err)
	of, err := (&verifying{key: public, alg: "ES256", keyID: "release"}).verify(raw)
	require.NoError(t, err)
	assert.NotEmpty(t, of.Manifest.Revision)
	other := t.TempDir()
	_, stranger := releaseKey(t, other)
	_, err = (&verifying{key: stranger, alg: "ES256", keyID: "release"}).verify(raw)
	require.Error(t, err)
	_, unsigned, _ := run(t, "", "policy", "build", "testdata/acme", "-o", packed)
	require.NotEmpty(t, unsigned)
	raw, err = os.ReadFile(packed)
	require.NoError(t, err)
	_, err = (&verifying{key: public, alg: "ES256", keyID: "release"}).verify(raw)
	require.ErrorContains(t, err, "missing .signatures.json")
}

// TestABundleThatTheWebhookRefusesIsNotBuilt; errors name the files of the folder.
func TestABundleThatTheWebhookRefusesIsNotBuilt(t *testing.T) {
	t.Parallel()
	for rego, says := range map[string]string{
		"package policies.a\n\ndeny contains http.send({}).raw_body\n": "a.rego:3",
		"package policies.a\n\ndeny contains \"x\" if input.obejct\n":  "a.rego:3",
		"package policies.lib.hosts\n\ncovered(_, _)\n":                "is the library's own",
		"package other\n\nx := 1\n":                                    "there is no policy in it",
		"package system.log\n\nmask contains data.acme.x\n":            "reads input and itself alone",
	} {
		folder := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(folder, "a.rego"), []byte(rego), 0o600))
		code, _, errs := run(t, "", "policy", "build", folder, "-o", filepath.Join(folder, "out.tar.gz"))
		assert.Equal(t, failed, code)
		assert.Contains(t, errs, says)
		assert.NoFileExists(t, filepath.Join(folder, "out.tar.gz"))
	}
	for line, says := range map[string]string{
		"policy pull registry.example.com/acme:v1":                                        "at least one of the flags",
		"policy pull registry.example.com/acme --skip-verify":                             "names no tag",
		"policy push testdata/acme registry.example.com/acme":                             "names no tag",
		"review -f testdata/evil.yaml --bundle acme":                                      "--bundle must be NAME=PATH",
		"review -f testdata/evil.yaml --bundle acme=none":                                 "--bundle acme=none: ",
		"review -f testdata/evil.yaml -p testdata/acme.yaml":                              `no bundle "acme" is configured`,
		"review -f testdata/evil.yaml -p testdata/acme.yaml --bundle other=testdata/acme": "configured are other",
	} {
		code, _, errs := run(t, "", strings.Fields(line)...)
		assert.Equal(t, failed, code, line)
		assert.Contains(t, errs, says, line)
	}
}
