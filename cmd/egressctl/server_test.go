package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const hostNetwork = `apiVersion: v1
kind: Namespace
metadata: {name: app, labels: {istio-injection: enabled}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: app}
spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {hostNetwork: true, containers: [{name: app, image: app}]}}}
`

// guard is one of a cluster, under a name of its own.
const guard = `apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: theirs, labels: {app.kubernetes.io/name: NAME}}
spec:
  matchConstraints: {resourceRules: [{apiGroups: [apps], apiVersions: [v1], resources: [deployments], operations: [CREATE]}]}
  validations: [{expression: "false", message: "spec: not here"}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: theirs, labels: {app.kubernetes.io/name: NAME}}
spec: {policyName: theirs, validationActions: [Deny]}
`

// TestGuardsAreThoseOfTheClusterOrOfTheChart; those of others are not looked at.
func TestGuardsAreThoseOfTheClusterOrOfTheChart(t *testing.T) {
	t.Parallel()
	write := func(text string) string {
		file := filepath.Join(t.TempDir(), "x.yaml")
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		return file
	}
	manifests := write(hostNetwork)
	theirs := write(strings.ReplaceAll(guard, "NAME", "egress-governor"))
	others := write(strings.ReplaceAll(guard, "NAME", "others"))
	ours := "'egress-governor-host-network' denied request: spec.template.spec.hostNetwork: "
	for name, row := range map[string]struct {
		args []string
		code int
		says string
	}{
		"of the chart":   {nil, violations, ours},
		"of the cluster": {[]string{"--cluster", theirs}, violations, `deployments.apps "web" is forbidden: ValidatingAdmissionPolicy 'theirs' with binding 'theirs' denied request: spec: not here`},
		"of others":      {[]string{"--cluster", others}, violations, ours},
		"of nobody":      {[]string{"--guards=false"}, clean, "2 not governed"},
		"broken glass":   {[]string{"--as", "jane", "--as-group", "egress-governor:break-glass"}, clean, "user jane is exempt from the guards of egress-governor"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, out, errs := run(t, "", append([]string{"review", "-f", manifests}, row.args...)...)
			assert.Equal(t, row.code, code, errs)
			assert.Contains(t, out, row.says)
		})
	}
}

// TestWhatIsRenderedIsOfItsKind: nothing is rendered that would not be stored.
func TestWhatIsRenderedIsOfItsKind(t *testing.T) {
	t.Parallel()
	code, _, errs := run(t, strings.ReplaceAll(content(t, "testdata/entry.yaml"), "hosts:", "host: x\n  hosts:"), "render", "-f", "-")
	assert.Equal(t, violations, code)
	assert.Contains(t, errs, `strict decoding error: unknown field "spec.host"`)
}
