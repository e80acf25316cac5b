package proof_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/test/proof"
)

func write(t *testing.T, content string) string {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "family", "name")
	require.NoError(t, os.MkdirAll(folder, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(folder, proof.File), []byte(content), 0o600))
	return filepath.Dir(filepath.Dir(folder))
}

func TestACaseIsRead(t *testing.T) {
	all, err := proof.Load(write(t, `{title: A case, calls: [{from: app/batch, to: "https://api.example.com:8443", ends: Gateway}, {from: app, to: "grpc://h:50051", ends: Blocked}]}`))
	require.NoError(t, err)
	require.Len(t, all, 1)
	assert.Equal(t, []string{"family", "name"}, []string{all[0].Family, all[0].Name})
	assert.Equal(t, []string{"Plain", "MutualTLS"}, all[0].By())
	call := all[0].Calls[0]
	namespace, account := call.Caller()
	assert.Equal(t, []string{"app", "batch"}, []string{namespace, account})
	assert.Equal(t, proof.Target{Protocol: proof.TLS, Host: "api.example.com", Port: 8443}, call.Target())
	assert.Equal(t, []string{"api.example.com:8443"}, call.Exits())
}

func TestWhatIsWrongWithACaseIsNamed(t *testing.T) {
	for want, content := range map[string]string{
		`unknown field "titel"`:          `{titel: x}`,
		"title: must say":                `{calls: [{from: a, to: "http://h", ends: Gateway}]}`,
		"so the case could not fail":     `{title: x}`,
		"calls[0].to: ":                  `{title: x, calls: [{from: a, to: "ftp://h", ends: Gateway}]}`,
		"names no port":                  `{title: x, calls: [{from: a, to: "tcp://h", ends: Gateway}]}`,
		"calls[0].from: ":                `{title: x, calls: [{to: "http://h", ends: Gateway}]}`,
		"calls[0].ends: must be":         `{title: x, calls: [{from: a, to: "http://h", ends: gateway}]}`,
		"calls[0].dials: must be":        `{title: x, calls: [{from: a, to: "http://h", ends: Gateway, dials: me}]}`,
		"calls[0].ingress: is none":      `{title: x, calls: [{from: a, to: "http://h", ends: Gateway, dials: Gateway, ingress: {a: b}}]}`,
		"warned[0]: must have":           `{title: x, warned: [{object: ServiceEntry/a/b}]}`,
		"warned[0]: must have an object": `{title: x, warned: [{object: ServiceEntry/a, says: c}]}`,
		"refused[0].object: ":            `{title: x, refused: [{object: ServiceEntry/a, code: c}]}`,
		"refused[0].code: must say":      `{title: x, refused: [{object: ServiceEntry/a/b}]}`,
		"transports: \"TLS\" is none":    `{title: x, transports: [TLS], refused: [{object: ServiceEntry/a/b, code: c}]}`,
		"before: \"x.yaml\" is no file":  `{title: x, before: [x.yaml], refused: [{object: ServiceEntry/a/b, code: c}]}`,
		"unknown field \"gatways\"":      `{title: x, configuration: {gatways: []}, refused: [{object: ServiceEntry/a/b, code: c}]}`,
	} {
		all, err := proof.Load(write(t, content))
		if err == nil {
			_, err = all[0].Store(t.Context(), all[0].By()[0])
		}
		require.ErrorContains(t, err, want)
		assert.Contains(t, err.Error(), filepath.Join("family", "name"), "the error names the case")
	}
}

func TestAFolderWithoutCasesIsAnError(t *testing.T) {
	_, err := proof.Load(t.TempDir())
	assert.ErrorContains(t, err, "no folder below has a case.yaml")
}
