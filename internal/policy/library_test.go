package policy_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/policy"
	"github.com/egress-governor/egress-governor/policies"
)

// TestLibrarySpeaksByItsMetadata wants the METADATA of a rule in the engine's violations, in every policy made of it.
func TestLibrarySpeaksByItsMetadata(t *testing.T) {
	t.Parallel()
	e, err := policy.NewEngine(policies.Library())
	require.NoError(t, err)
	for _, name := range []string{"one", "two"} {
		require.NoError(t, e.Set(egressPolicy(name, v1alpha1.EgressPolicySpec{Policy: "allowed-hosts", Parameters: parameters(`{"hosts": ["ok.example.com"]}`)})))
	}
	got := e.Evaluate(t.Context(), policy.Review{Kind: "ServiceEntry", Namespace: policy.Namespace{Name: "payments"}, Document: map[string]any{
		"egress": map[string]any{"hosts": []any{
			map[string]any{"host": "evil.io", "patterns": []any{"evil.io", "*.io", "*"}, "leaves": true, "field": "spec.hosts[0]"},
		}},
	}})
	want := policy.Violation{
		Policy: "one", Library: "allowed-hosts", Code: "host-not-allowed", Field: "spec.hosts[0]",
		Message: `host "evil.io" is not allowed in namespace "payments"`,
		Fix:     "ask the platform team to add it to this EgressPolicy, or use one of: ok.example.com",
	}
	other := want
	other.Policy = "two"
	assert.Equal(t, []policy.Violation{want, other}, got.Denied)
}

// TestEveryPolicyHasAnExampleThatWorks: it compiles as it is, and evaluates the kinds that the policy is for.
func TestEveryPolicyHasAnExampleThatWorks(t *testing.T) {
	t.Parallel()
	for name, file := range folders(t) {
		e, err := policy.NewEngine(policies.Library())
		require.NoError(t, err)
		raw, err := os.ReadFile(filepath.Join(filepath.Dir(file), "example.yaml"))
		require.NoError(t, err)
		example := &v1alpha1.EgressPolicy{}
		require.NoError(t, yaml.UnmarshalStrict(raw, example), name)
		assert.Equal(t, name, example.Spec.Policy)
		require.NoError(t, e.Set(example), name)
		rego, err := os.ReadFile(file)
		require.NoError(t, err)
		named := regexp.MustCompile(`(?m)^#   kinds: \[(.*)\]$`).FindStringSubmatch(string(rego))
		require.NotNil(t, named, "%s: custom.kinds", name)
		var kinds []v1alpha1.Kind
		for _, kind := range strings.Split(named[1], ", ") {
			kinds = append(kinds, v1alpha1.Kind(kind))
		}
		slices.Sort(kinds)
		assert.Equal(t, kinds, e.Kinds(), name)
	}
}

// TestADayThatDoesNotExist is refused at apply: it could not be evaluated.
func TestADayThatDoesNotExist(t *testing.T) {
	t.Parallel()
	e, err := policy.NewEngine(policies.Library())
	require.NoError(t, err)
	for until, fits := range map[string]bool{
		"2027-02-28": true, "2027-02-28T12:00:00Z": true, "2027-02-30": false, "2027-02-28T25:00:00Z": false, "2027-02-28T12:00:00+01:00": false, "soon": false,
	} {
		err := e.Check(egressPolicy("p", v1alpha1.EgressPolicySpec{Policy: "expiring-hosts", Parameters: parameters(`{"hosts": [{"host": "a.test", "until": "` + until + `"}]}`)}))
		assert.Equal(t, fits, err == nil, "%s: %v", until, err)
	}
}

// TestARangeThatIsNone is refused at apply: a list with it could not be evaluated, nor may a list pass for one without it.
func TestARangeThatIsNone(t *testing.T) {
	t.Parallel()
	e, err := policy.NewEngine(policies.Library())
	require.NoError(t, err)
	for name, parameter := range map[string]string{
		"allowed-hosts": "hosts", "denied-hosts": "hosts", "destination-tunnel": "allowedTargets", "honest-endpoints": "allowedEndpoints", "workload-entries": "addresses",
	} {
		for listed, fits := range map[string]bool{"192.0.2.0/24": true, "2001:db8::/32": true, "a.test": true, "192.0.2.0/33": false, "::/129": false, "f/1": false} {
			err := e.Check(egressPolicy("p", v1alpha1.EgressPolicySpec{Policy: name, Parameters: parameters(`{"` + parameter + `": ["` + listed + `"]}`)}))
			assert.Equal(t, fits, err == nil, "%s of %s: %v", listed, name, err)
		}
	}
}

// TestTheDocumentsTableHasEveryPolicy of the library, with every parameter and its kinds, and no other.
func TestTheDocumentsTableHasEveryPolicy(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../../docs/policies.md")
	require.NoError(t, err)
	rows := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\|.*$").FindAllStringSubmatch(string(raw), -1) {
		rows[row[1]] = row[0]
	}
	e, err := policy.NewEngine(policies.Library())
	require.NoError(t, err)
	for name, file := range folders(t) {
		require.Contains(t, rows, name)
		rego, err := os.ReadFile(file)
		require.NoError(t, err)
		_, schema, _ := strings.Cut(string(rego), "\n#     properties:\n")
		schema, _, _ = strings.Cut(schema, "\npackage ")
		for _, parameter := range regexp.MustCompile(`(?m)^#       ([a-zA-Z]+):`).FindAllStringSubmatch(schema, -1) {
			assert.Contains(t, rows[name], "`"+parameter[1]+"`", name)
		}
		assert.Equal(t, slices.Contains(e.Standards(), name), !strings.HasSuffix(rows[name], "| – |"), "%s: baseline", name)
		delete(rows, name)
	}
	assert.Empty(t, rows, "policies that the library does not have")
}

// folders returns the Rego of each policy of the library, by name.
func folders(t testing.TB) map[string]string {
	t.Helper()
	files, err := filepath.Glob("../../policies/*/*.rego")
	require.NoError(t, err)
	out := map[string]string{}
	for _, file := range files {
		if !strings.HasSuffix(file, "_test.rego") {
			out[strings.ReplaceAll(strings.TrimSuffix(filepath.Base(file), ".rego"), "_", "-")] = file
		}
	}
	require.NotEmpty(t, out)
	return out
}
