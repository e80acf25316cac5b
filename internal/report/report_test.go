package report_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/config"
	"github.com/egress-governor/egress-governor/internal/dryrun"
	"github.com/egress-governor/egress-governor/internal/manifest"
	"github.com/egress-governor/egress-governor/internal/report"
)

var update = flag.Bool("update", false, "write the reports of testdata anew")

func answers(t *testing.T, objects []manifest.Object) []dryrun.Answer {
	t.Helper()
	installed, err := config.Installed()
	require.NoError(t, err)
	session, err := dryrun.New(dryrun.Options{Configuration: installed, Sending: dryrun.Sending{Time: time.Unix(0, 0)}, Namespace: "default"})
	require.NoError(t, err)
	out, err := session.Apply(t.Context(), objects, func() {})
	require.NoError(t, err)
	return out
}

func written(t *testing.T, of *report.Report, format string, options report.Options) string {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, of.Write(&out, format, options))
	return out.String()
}

// TestReports holds each form to the one of testdata: allowed, denied, refused, warned of, not fit and not governed.
func TestReports(t *testing.T) {
	t.Parallel()
	objects, err := manifest.Read([]string{"testdata/manifests.yaml"}, nil, false)
	require.NoError(t, err)
	of := report.New(answers(t, objects))
	for _, format := range []string{"github", "json", "junit", "sarif", "table"} {
		file := filepath.Join("testdata", "report."+format)
		got := written(t, of, format, report.Options{Version: "v1.2.3"})
		if *update {
			require.NoError(t, os.WriteFile(file, []byte(got), 0o600))
		}
		want, err := os.ReadFile(file)
		require.NoError(t, err, "go test ./internal/report -update writes it")
		assert.Equal(t, string(want), got, format)
	}
	fromYAML, err := yaml.YAMLToJSON([]byte(written(t, of, "yaml", report.Options{})))
	require.NoError(t, err)
	assert.JSONEq(t, written(t, of, "json", report.Options{}), string(fromYAML))
	quiet := written(t, of, "table", report.Options{Quiet: true})
	assert.NotContains(t, quiet, "payments/stripe")
	assert.Contains(t, quiet, "payments/evil")
	assert.Contains(t, written(t, of, "junit", report.Options{}), `failures="3"`)
	assert.Contains(t, written(t, of, "junit", report.Options{Strict: true}), `failures="4"`)
	assert.ErrorContains(t, of.Write(nil, "xml", report.Options{}), `output "xml" is none of github, json, junit, sarif, table, yaml`)
}

// TestNamesDoNothingToTerminalsAndWorkflows: whoever writes a manifest chooses them.
func TestNamesDoNothingToTerminalsAndWorkflows(t *testing.T) {
	t.Parallel()
	objects, err := manifest.Parse("a,b:c%.yaml", []byte(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: "x\e[2J\n::stop-commands::x", namespace: app}
spec: {hosts: ["*"], ports: [{number: 443, name: tls, protocol: TLS}]}
`))
	require.NoError(t, err)
	of := report.New(answers(t, objects))
	text := written(t, of, "table", report.Options{})
	assert.Contains(t, text, `app/x\x1b[2J\n::stop-commands::x`)
	assert.NotContains(t, text, "\x1b")
	annotations := written(t, of, "github", report.Options{})
	assert.Contains(t, annotations, "::error file=a%2Cb%3Ac%25.yaml,line=5,title=ServiceEntry app/x\x1b[2J%0A%3A%3Astop-commands")
	for _, line := range strings.Split(strings.TrimSpace(annotations), "\n") {
		assert.Regexp(t, "^::(error|warning|notice) file=", line)
	}
	assert.NotContains(t, written(t, of, "junit", report.Options{}), "\x1b")
}
