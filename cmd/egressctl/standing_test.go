package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestManifestsAreAppliedAsKubectlDoes, by the flags of kubectl apply: in files of a cluster that say who owns what, and in such as do not.
func TestManifestsAreAppliedAsKubectlDoes(t *testing.T) {
	t.Parallel()
	const spec = "spec: {hosts: [api.example.com], exportTo: ['.'], resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}\n"
	const head = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: api, namespace: payments"
	const owned = ", managedFields: [{manager: argocd, operation: Apply, apiVersion: networking.istio.io/v1, fieldsType: FieldsV1, fieldsV1: {'f:spec': {'f:exportTo': {}, 'f:hosts': {}}}}]"
	write := func(name, text string) string {
		file := filepath.Join(t.TempDir(), name)
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		return file
	}
	managed, plain := write("managed.yaml", head+owned+"}\n"+spec), write("plain.yaml", head+"}\n"+spec)
	other := write("other.yaml", head+"}\nspec: {hosts: [other.example.com], resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}\n")
	for name, row := range map[string]struct {
		flags     []string
		code      int
		out, errs string
	}{
		"kubectl apply":                  {flags: []string{"--cluster", managed}},
		"by the server, in conflict":     {flags: []string{"--cluster", managed, "--server-side"}, code: violations, out: "Apply failed with 1 conflict: conflict with \"argocd\": .spec.hosts"},
		"by the server, as the owner":    {flags: []string{"--cluster", managed, "--server-side", "--field-manager", "argocd"}},
		"by the server, by force":        {flags: []string{"--cluster", managed, "--server-side", "--force-conflicts"}},
		"by the server, owned by nobody": {flags: []string{"--cluster", plain, "--server-side"}, errs: "Note: nothing says who owns the fields of ServiceEntry payments/api,"},
		"force, and not by the server":   {flags: []string{"--force-conflicts"}, code: failed, errs: "--force-conflicts only works with --server-side"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, out, errs := run(t, "", append([]string{"review", "-f", other}, row.flags...)...)
			assert.Equal(t, row.code, code, out+errs)
			assert.Contains(t, out, row.out)
			assert.Contains(t, errs, row.errs)
		})
	}
}
