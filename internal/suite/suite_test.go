package suite_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/config"
	"github.com/egress-governor/egress-governor/internal/policy"
	"github.com/egress-governor/egress-governor/internal/suite"
)

// head is a suite of one policy, without its cases.
const head = `policies:
- apiVersion: egress-governor.io/v1alpha1
  kind: EgressPolicy
  metadata: {name: hosts}
  spec: {policy: allowed-hosts, match: {namespaceSelector: {matchLabels: {team: payments}}}, parameters: {hosts: [api.example.com]}}
namespace: app
namespaces: {app: {team: payments}}
cases:
`

// entry is a manifest of a host.
func entry(host string) string {
	return `{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: e}, spec: {hosts: [` + host + `], exportTo: [.], resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}}`
}

func options() suite.Options {
	return suite.Options{
		Configure: func(_, baseline string) (*config.Configuration, error) {
			out, err := config.Installed()
			if err == nil && baseline != "" {
				out.Baseline.Enforcement = config.Switch(baseline)
			}
			return out, err
		},
		Time: time.Unix(0, 0),
	}
}

func outcome(t *testing.T, folder, text string, with suite.Options) *suite.Outcome {
	t.Helper()
	of, err := suite.Parse(filepath.Join(folder, "x_test.yaml"), []byte(text))
	require.NoError(t, err)
	out, err := of.Run(t.Context(), with)
	require.NoError(t, err)
	return out
}

// failures runs one case and returns what it fails by.
func failures(t *testing.T, one string) string {
	t.Helper()
	results := outcome(t, t.TempDir(), head+one, options()).Results
	require.Len(t, results, 1)
	require.NoError(t, results[0].Err)
	return said(t, results[0])
}

func said(t *testing.T, result suite.Result) string {
	t.Helper()
	var out []string
	for _, failure := range result.Failures {
		assert.Positive(t, failure.Line)
		out = append(out, failure.Text)
	}
	return strings.Join(out, "\n")
}

// TestEveryExpectationHoldsAndFails: for each field one that holds, and one that does not.
func TestEveryExpectationHoldsAndFails(t *testing.T) {
	t.Parallel()
	evil, good := "- name: x\n  manifest: "+entry("api.example.com, evil.io")+"\n", "- name: x\n  manifest: "+entry("api.example.com")+"\n"
	text := head
	var names, wants []string
	for _, of := range []struct{ one, holds, fails, text string }{
		{evil, "decision: denied", "decision: allowed", "expected decision allowed, got denied:\ndenied host-not-allowed: hosts: spec.hosts[1]"},
		{good, "decision: allowed", "decision: warned", "expected decision warned, got allowed"},
		{good, "decision: allowed", "decision: audited", "expected decision audited, got allowed"},
		{evil, "code: host-not-allowed", "code: other", `expected a finding with code "other"`},
		{evil, "field: 'spec.hosts[1]'", "field: 'spec.hosts[0]'", `field "spec.hosts[0]"`},
		{evil, "policy: hosts", "policy: host", `policy "host"`},
		{evil, "message: evil.io", "message: good.io", `message "good.io"`},
		{evil, "message: ask the platform team", "message: ask nobody", `message "ask nobody"`},
		{good, "message: now leave through egress gateway", "message: now stay", `message "now stay"`},
		{good, "{code: '', message: now leave}", "{code: x, message: now leave}", `code "x", message "now leave"`},
		{evil, "findings: [{code: host-not-allowed}]", "findings: []", "expected no other finding than findings has"},
		{evil, "findings: [{field: 'spec.hosts[1]'}]", "findings: [{field: 'spec.hosts[1]'}, {field: 'spec.hosts[1]'}]", `field "spec.hosts[1]"`},
		{good, "stored: {spec: {hosts: [api.example.com]}}", "stored: {spec: {hosts: [api.example.com, b.example.com]}}", `stored spec.hosts: expected ["api.example.com","b.example.com"], got ["api.example.com"]`},
		{good, "stored: {spec: {ports: [{number: 443}]}}", "stored: {spec: {ports: [{number: 444}]}}", "stored spec.ports[0].number: expected 444, got 443"},
		{good, "stored: {spec: {endpoints: [{ports: {tls: 443}}]}}", "stored: {spec: {addresses: [a]}}", `stored spec.addresses: expected ["a"], got null`},
		{evil, "decision: denied", "stored: {spec: {}}", "expected that it is stored, and nothing is"},
		{
			"- name: x\n  parameters: {hosts: ['*']}\n  manifest: " + entry("a.example.com, b.example.com") + "\n",
			"stored: {spec: {hosts: [a.example.com, b.example.com]}}", "stored: {spec: {hosts: [a.example.com]}}", `stored spec.hosts: expected ["a.example.com"]`,
		},
		{
			"- name: x\n  cluster: [" + entry("api.example.com") + "]\n  manifest: " + entry("evil.io") + "\n",
			"decision: denied", "stored: {spec: {hosts: [api.example.com]}}", "expected that it is stored, and nothing is",
		},
		{evil, "decision: denied", "stored: none.yaml", "expected that it is stored, and nothing is"},
		{good, "decision: allowed", "stored: none.yaml", "none.yaml is not there; --update writes it"},
		{"- name: x\n  manifest: {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n", "decision: ungoverned", "decision: allowed", "got ungoverned"},
		{"- name: x\n  parameters: {hosts: [evil.io]}\n  manifest: " + entry("evil.io") + "\n", "decision: allowed", "decision: denied", "got allowed"},
		{"- name: x\n  namespace: other\n  manifest: " + entry("evil.io") + "\n", "decision: allowed", "decision: denied", "got allowed"},
		{"- name: x\n  namespaces: {app: {team: other}}\n  manifest: " + entry("evil.io") + "\n", "decision: allowed", "decision: denied", "got allowed"},
	} {
		for _, expect := range []string{of.holds, of.fails} {
			if !strings.HasPrefix(expect, "{") {
				expect = "{" + expect + "}"
			}
			text += strings.Replace(of.one, "name: x", fmt.Sprintf("name: case %d", len(names)), 1) + "  expect: " + expect + "\n"
			names = append(names, expect)
		}
		wants = append(wants, "", of.text)
	}
	for i, result := range outcome(t, t.TempDir(), text, options()).Results {
		require.NoError(t, result.Err, names[i])
		got := said(t, result)
		if wants[i] == "" {
			assert.Empty(t, got, names[i])
		}
		assert.Contains(t, got, wants[i], names[i])
	}
}

// TestWhatIsEnforcedAndHow: warned and audited are told apart from allowed, and a suite may say how its policies are enforced.
func TestWhatIsEnforcedAndHow(t *testing.T) {
	t.Parallel()
	for enforcement, decision := range map[string]string{"Deny": "denied", "Warn": "warned", "Audit": "audited"} {
		text := "enforcement: " + enforcement + "\n" + head + "- name: x\n  manifest: " + entry("evil.io") + "\n  expect: {code: host-not-allowed, decision: " + decision + "}\n"
		assert.Empty(t, outcome(t, t.TempDir(), text, options()).Results[0].Failures, enforcement)
	}
}

// TestOtherObjects: what is applied before must be allowed, and what is stored already need not.
func TestOtherObjects(t *testing.T) {
	t.Parallel()
	route := `{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: r}, spec: {hosts: [HOST], tls: [{match: [{port: 443, sniHosts: [HOST]}], route: [{destination: {host: HOST, port: {number: 443}}}]}]}}`
	good := "- name: x\n  objects: [" + entry("api.example.com") + "]\n  manifest: " + strings.ReplaceAll(route, "HOST", "api.example.com") + "\n  expect: {decision: allowed, stored: {kind: VirtualService}}\n"
	assert.Empty(t, failures(t, good))
	before := "- name: x\n  objects: [" + entry("evil.io") + "]\n  manifest: " + entry("api.example.com") + "\n  expect: {decision: allowed}\n"
	assert.Contains(t, failures(t, before), "ServiceEntry app/e, which comes before, is denied")
	assert.Empty(t, failures(t, strings.ReplaceAll(before, "objects:", "cluster:")))
}

// TestWhoAppliesAndWhen is what the case says.
func TestWhoAppliesAndWhen(t *testing.T) {
	t.Parallel()
	text := `policies:
- apiVersion: egress-governor.io/v1alpha1
  kind: EgressPolicy
  metadata: {name: own}
  spec:
    rego: |
      package own
      deny contains sprintf("%s of %s at %s", [input.user.name, input.user.groups[0], input.time])
cases:
- name: x
  user: {name: ada, groups: [tills]}
  time: "2027-01-31T00:00:00Z"
  manifest: ` + entry("a.example.com") + `
  expect: {message: "ada of tills at 2027-01-31T00:00:00Z"}
`
	assert.Empty(t, outcome(t, t.TempDir(), text, options()).Results[0].Failures)
	assert.Len(t, outcome(t, t.TempDir(), strings.Replace(text, "name: ada", "name: eve", 1), options()).Results[0].Failures, 1)
}

// TestGoldenFilesAreWrittenAndHeld, and only where that is asked for.
func TestGoldenFilesAreWrittenAndHeld(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	text := head + "- name: x\n  manifest: " + entry("api.example.com") + "\n  expect: {stored: stored.yaml}\n"
	assert.Len(t, outcome(t, folder, text, options()).Results[0].Failures, 1)
	assert.NoFileExists(t, filepath.Join(folder, "stored.yaml"))
	writing := options()
	writing.Update = true
	assert.Equal(t, []string{filepath.Join(folder, "stored.yaml")}, outcome(t, folder, text, writing).Results[0].Updated)
	result := outcome(t, folder, text, writing).Results[0]
	assert.Empty(t, result.Failures)
	assert.Empty(t, result.Updated, "it is as it is")
	require.NoError(t, os.WriteFile(filepath.Join(folder, "stored.yaml"), []byte("kind: Other\n"), 0o600))
	result = outcome(t, folder, text, options()).Results[0]
	require.Len(t, result.Failures, 1)
	assert.Contains(t, result.Failures[0].Text, "-kind: Other\n")
	assert.Contains(t, result.Failures[0].Text, "+kind: ServiceEntry\n")
}

// TestPoliciesThatNoCaseIsAboutAreTold: what their suite says holds without them.
func TestPoliciesThatNoCaseIsAboutAreTold(t *testing.T) {
	t.Parallel()
	text := strings.ReplaceAll(head, "app: {team: payments}", "app: {team: paymnts}") + "- name: x\n  manifest: " + entry("api.example.com") + "\n  expect: {decision: allowed}\n"
	out := outcome(t, t.TempDir(), text, options())
	assert.Empty(t, out.Results[0].Failures)
	require.Len(t, out.Unasked, 1)
	assert.Equal(t, "hosts", out.Unasked[0].GetName())
	assert.Equal(t, []string{`EgressPolicy hosts is not asked: its match does not select this of namespace "app": namespaceSelector team=payments`}, out.Results[0].Notes)
	before := strings.ReplaceAll(text, "  manifest:", "  namespace: other\n  objects: ["+strings.Replace(entry("api.example.com"), "name: e", "name: f, namespace: app", 1)+"]\n  manifest:")
	assert.Len(t, outcome(t, t.TempDir(), strings.ReplaceAll(before, "paymnts", "payments"), options()).Unasked, 1, "it is asked about another object alone")
	assert.Empty(t, outcome(t, t.TempDir(), strings.ReplaceAll(text, "paymnts", "payments"), options()).Unasked)
}

// TestCasesThatCannotBeTold are errors, and none of them passes.
func TestCasesThatCannotBeTold(t *testing.T) {
	t.Parallel()
	for one, want := range map[string]string{
		"manifest: none.yaml": "x_test.yaml:10: stat none.yaml",
		"manifest: {kind: A}": "x_test.yaml:10: A has no apiVersion",
		"manifest: [a]":       "x_test.yaml:10: is not an object",
		"manifest: {apiVersion: networking.istio.io/v9, kind: ServiceEntry, metadata: {name: a}}":                              `version "v9" of ServiceEntry is not known`,
		"parameters: {hots: [a]}\n  manifest: " + entry("a.example.com"):                                                       "x_test.yaml:2: EgressPolicy hosts: spec.parameters: additional properties 'hots' not allowed",
		"objects: ['']\n  manifest: a.yaml":                                                                                    "x_test.yaml:10: names no file and is no object",
		"manifest: {apiVersion: v1, kind: List, items: []}":                                                                    "x_test.yaml:10: List has no name",
		"objects: [{apiVersion: v1, kind: Namespace, metadata: {name: a}, x: &x [*x]}]\n  manifest: " + entry("a.example.com"): "x_test.yaml:",
	} {
		of, err := suite.Parse("x_test.yaml", []byte(head+"- name: x\n  "+one+"\n  expect: {decision: allowed}\n"))
		if err != nil {
			require.ErrorContains(t, err, want, one)
			continue
		}
		out, err := of.Run(t.Context(), options())
		require.NoError(t, err)
		require.ErrorContains(t, out.Results[0].Err, want, one)
	}
}

// TestAnchorsSpareRepetition, and cannot make a document explode.
func TestAnchorsSpareRepetition(t *testing.T) {
	t.Parallel()
	text := head + "- name: x\n  manifest: &m " + entry("api.example.com") + "\n  expect: {decision: allowed}\n" +
		"- name: y\n  manifest: *m\n  expect: {decision: allowed}\n" +
		"- name: z\n  manifest: {<<: *m, metadata: {name: other}}\n  expect: {stored: {metadata: {name: other}}}\n"
	for _, result := range outcome(t, t.TempDir(), text, options()).Results {
		require.NoError(t, result.Err)
		assert.Empty(t, result.Failures)
	}
	bomb := "- name: x\n  cluster: [{apiVersion: v1, kind: A, metadata: {name: a}, a: &a [x,x,x,x,x,x,x,x,x,x], b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a], c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b], d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c], e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d], f: [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]}]\n  manifest: " + entry("a.example.com") + "\n  expect: {decision: allowed}\n"
	require.ErrorContains(t, outcome(t, t.TempDir(), head+bomb, options()).Results[0].Err, "is too large")
}

func TestWrongSuitesAreToldWithTheirLines(t *testing.T) {
	t.Parallel()
	manifest := "  manifest: a.yaml\n"
	for text, want := range map[string]string{
		"":                            "s.yaml:1: the suite has no cases",
		"cases: []\n":                 "s.yaml:1: the suite has no cases",
		"a: [\n":                      "s.yaml:",
		"cases: []\n---\ncases: []\n": "a suite is one document",
		"cases:\n- nam: a\n":          `s.yaml:2: unknown field "nam"; a case has name, manifest,`,
		"policies: {a: b}\nnamespaces: {app: team}\ncases: x\n": "s.yaml:1: policies must be a list, is an object\ns.yaml:2: namespaces.app must be an object, is \"team\"\ns.yaml:3: cases must be a list, is \"x\"",
		"- a\n": "s.yaml:1: a suite must be an object of policies, enforcement, baseline,",
		"cases:\n- name: [a]\n  user: ada\n  nam: x\n  expect: denied\n":                          "s.yaml:2: cases[0].name must be a text, is a list\ns.yaml:3: cases[0].user must be an object of name, groups, is \"ada\"\ns.yaml:5: cases[0].expect must be an object of decision, policy, code, field, message, findings, stored, is \"denied\"\ns.yaml:4: unknown field \"nam\"",
		"polices: []\ncases: []\n":                                                                `s.yaml:1: unknown field "polices"; a suite has policies,`,
		"cases:\n- name: a\n" + manifest:                                                          `s.yaml:2: case "a" expects nothing, so it cannot fail`,
		"cases:\n- name: a\n" + manifest + "  expect: {message: ''}\n":                            `expects nothing`,
		"cases:\n- name: a\n" + manifest + "  expect: {stored: {}}\n":                             `expects nothing`,
		"cases:\n- name: a\n" + manifest + "  expect: {findings: [{}]}\n":                         `s.yaml:2: case "a": findings[0] is empty`,
		"cases:\n- name: a\n" + manifest + "  expect:\n    decisions: x\n":                        `s.yaml:5: unknown field "decisions"; a case's expect has decision, policy, code, field, message, findings, stored`,
		"cases:\n- name: a\n" + manifest + "  expect: {decision: deny}\n":                         `s.yaml:4: decision must be allowed or`,
		"cases:\n- name: a\n  expect: {decision: denied}\n":                                       `s.yaml:2: case "a" has no manifest`,
		"cases:\n-\n" + manifest + "  expect: {decision: denied}\n":                               `s.yaml:3: case 1 has no name`,
		"cases:\n- name: a\n  manifest:\n  expect: {decision: denied}\n":                          `s.yaml:2: case "a" has no manifest`,
		"cases:\n- name: a\n" + manifest + "  expect: {stored: }\n":                               `expects nothing`,
		"enforcement: deny\ncases: []\n":                                                          "s.yaml:1: enforcement must be Deny or Warn or Audit, is \"deny\"",
		"cases:\n- name: a\n" + manifest + "  time: today\n  expect: {decision: denied}\n":        "s.yaml:4: time must be such as",
		"cases:\n- name: a\n" + manifest + "  parameters: {a: 1}\n  expect: {decision: denied}\n": "s.yaml:4: parameters are those of the suite's EgressPolicy, of which it has 0",
		"cases:\n- &a {name: a, manifest: a.yaml, expect: {decision: denied}}\n- *a\n":            `another has this name`,
	} {
		_, err := suite.Parse("s.yaml", []byte(text))
		require.ErrorContains(t, err, want, text)
	}
}

func TestSuitesAreFound(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(folder, "a", "tests"), 0o755))
	for _, name := range []string{"a/tests/x_test.yaml", "a/x.yaml", "y_test.yml", "z_test.rego"} {
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), nil, 0o600))
	}
	found, err := suite.Find([]string{folder, filepath.Join(folder, "a", "x.yaml")})
	require.NoError(t, err)
	assert.Equal(t, []string{filepath.Join(folder, "a/tests/x_test.yaml"), filepath.Join(folder, "y_test.yml"), filepath.Join(folder, "a/x.yaml")}, found)
	_, err = suite.Find([]string{t.TempDir()})
	require.ErrorContains(t, err, "the folder has no suite")
	_, err = suite.Find([]string{"none"})
	assert.Error(t, err)
}

// TestCoverageIsOfTheLinesThatCasesEvaluate.
func TestCoverageIsOfTheLinesThatCasesEvaluate(t *testing.T) {
	t.Parallel()
	policies := `policies:
- apiVersion: egress-governor.io/v1alpha1
  kind: EgressPolicy
  metadata: {name: own}
  spec:
    rego: |
      package own
      deny contains "a" if {
        input.name == "a"
        input.operation == "CREATE"
      }
      warn contains "b" if input.name == "b"
cases:
`
	with := options()
	with.Coverage = policy.NewCoverage()
	one := "- name: x\n  manifest: " + strings.ReplaceAll(entry("a.example.com"), "name: e", "name: NAME") + "\n  expect: {decision: DECISION}\n"
	run := func(name, decision string) []string {
		out := outcome(t, t.TempDir(), policies+strings.NewReplacer("NAME", name, "DECISION", decision).Replace(one), with)
		assert.Empty(t, out.Results[0].Failures)
		covered, err := out.Covered(with.Coverage)
		require.NoError(t, err)
		require.Len(t, covered, 1)
		for i, place := range covered[0].Missing {
			covered[0].Missing[i] = filepath.Base(place)
		}
		return covered[0].Missing
	}
	assert.Equal(t, []string{"x_test.yaml:8", "x_test.yaml:9", "x_test.yaml:10", "x_test.yaml:12"}, run("c", "allowed"))
	assert.Equal(t, []string{"x_test.yaml:8", "x_test.yaml:9", "x_test.yaml:10"}, run("b", "warned"))
	assert.Empty(t, run("a", "denied"))
}
