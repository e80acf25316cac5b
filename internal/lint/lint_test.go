package lint_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/lint"
)

// scaffold is what egressctl policy new writes.
const scaffold = "../../cmd/egressctl/testdata/owned"

// folder copies it, with something else in the place of a text.
func folder(t *testing.T, old, with string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "owned")
	require.NoError(t, os.CopyFS(out, os.DirFS(scaffold)))
	file := filepath.Join(out, "owned.yaml")
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Contains(t, string(raw), old)
	require.NoError(t, os.WriteFile(file, []byte(strings.Replace(string(raw), old, with, 1)), 0o600))
	return out
}

// found lints a folder, and returns what is found of file names without their folders.
func found(t *testing.T, in string) (out []string) {
	t.Helper()
	sources, err := lint.Find([]string{in})
	require.NoError(t, err)
	all, err := lint.Lint(sources)
	require.NoError(t, err)
	for _, each := range all {
		out = append(out, strings.TrimPrefix(each.String(), in+"/"))
	}
	return out
}

// TestEachRuleFindsWhatItIsFor, at its line in the manifest; what is written as it should be is not found.
func TestEachRuleFindsWhatItIsFor(t *testing.T) {
	t.Parallel()
	assert.Empty(t, found(t, scaffold))
	for _, of := range []struct{ old, with, want string }{
		{"      host.leaves\n", "      host.leaves\n      http.send({\"method\": \"GET\", \"url\": \"x\"})\n", "owned.yaml:35: pure: policies may not call http.send: "},
		{"      host.leaves\n", "      host.leaves\n      time.now_ns() > 0\n", "owned.yaml:35: pure: policies may not call time.now_ns: "},
		{"      host.leaves\n", "      host.leaving\n", "owned.yaml:34: strict: rego_type_error: undefined ref: host.leaving"},
		{"      host.leaves\n", "      host.leaves\n      unused := 1\n", "owned.yaml:35: strict: rego_compile_error: assigned var unused unused"},
		{"    package owned\n", "    package other\n", "owned.yaml:21: package: package other is that of EgressPolicy owned: name it owned"},
		{"    # title: Owned\n", "", "owned.yaml:20: metadata: the METADATA of the package has no title, or no description"},
		{"    # description: The label is missing, or empty.\n", "", "owned.yaml:30: metadata: the METADATA of deny has no title, or no description"},
		{"    #   msg: host %q has nobody who answers for it\n", "", "owned.yaml:30: metadata: the METADATA of deny has no custom.msg, of which its results are made"},
		{"    #   fix: add the label %q\n", "", "owned.yaml:30: metadata: neither the METADATA of deny nor that of the package has custom.fix"},
		{"result.of(rego.metadata.rule(), host.field, [host.host], [input.parameters.label]) if {", "{\"msg\": host.field} if {", "owned.yaml:31: metadata: the results of deny have no code: "},
		{"  parameters:\n    label: owner\n", "", "owned.yaml:1: strict: spec.parameters: missing property 'label'"},
		{"  enforcement: Audit", "  enforcing: Audit", `owned.yaml:1: strict: unknown field "spec.enforcing"`},
	} {
		got := found(t, folder(t, of.old, of.with))
		assert.Contains(t, "\n"+strings.Join(got, "\n"), "\n"+of.want)
	}
	untested := folder(t, "owned", "owned")
	require.NoError(t, os.RemoveAll(filepath.Join(untested, "tests")))
	assert.Equal(t, []string{"owned.yaml:1: tested: no suite beside it, or in tests/, is about it (egressctl test)"}, found(t, untested))
}

// TestFilesOfRegoAreLinted as manifests are; tests are read and left alone.
func TestFilesOfRegoAreLinted(t *testing.T) {
	t.Parallel()
	assert.Empty(t, found(t, "../../policies"))
	in := t.TempDir()
	file := filepath.Join(in, "rules", "mine", "mine.rego")
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
	require.NoError(t, os.WriteFile(file, []byte("package rules.other\n\ndeny contains \"no\" if input.kid == \"x\"\n"), 0o600))
	assert.Equal(t, []string{
		"rules/mine/mine.rego:1: metadata: the METADATA of the package has no title, or no description",
		"rules/mine/mine.rego:1: package: package rules.other stands in folder mine: keep it in rules/other",
		"rules/mine/mine.rego:1: tested: no test stands beside it: mine_test.rego",
		"rules/mine/mine.rego:3: metadata: deny has no METADATA: give it a title, a description and a fix",
	}, drop(found(t, in), "strict"))
	assert.Contains(t, strings.Join(found(t, in), "\n"), "rules/mine/mine.rego:3: strict: rego_type_error: undefined ref: input.kid")
}

func drop(all []string, rule string) (out []string) {
	for _, each := range all {
		if !strings.Contains(each, ": "+rule+": ") {
			out = append(out, each)
		}
	}
	return out
}

// TestWhatCannotBeReadIsAnError that names file and line.
func TestWhatCannotBeReadIsAnError(t *testing.T) {
	t.Parallel()
	in := folder(t, "    labelled if", "    labelled if if")
	_, err := lint.Find([]string{in})
	require.ErrorContains(t, err, filepath.Join(in, "owned.yaml")+":37: rego_parse_error: ")
	_, err = lint.Find([]string{t.TempDir()})
	require.ErrorContains(t, err, "there is no Rego in ")
	_, err = lint.Find([]string{"none"})
	assert.Error(t, err)
}

// regal is a program that answers as regal does.
func regal(t *testing.T, prints string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "regal")
	require.NoError(t, os.WriteFile(out, []byte("#!/bin/sh\nfor last in \"$@\"; do case \"$last\" in */owned.rego) file=\"$last\";; esac; done\n"+prints+"\nexit 3\n"), 0o700))
	return out
}

// TestRegalIsAskedAboutManifests, and what it finds stands at the lines there.
func TestRegalIsAskedAboutManifests(t *testing.T) {
	t.Parallel()
	sources, err := lint.Find([]string{scaffold})
	require.NoError(t, err)
	got, err := lint.Regal(t.Context(), regal(t, `grep -q 'deny contains' "$file" || exit 9
echo "{\"violations\": [{\"title\": \"bad\", \"description\": \"It is bad\", \"location\": {\"file\": \"$file\", \"row\": 17}}, {\"title\": \"theirs\", \"location\": {\"file\": \"elsewhere\", \"row\": 1}}]}"`), sources)
	require.NoError(t, err)
	assert.Equal(t, []lint.Finding{{Rule: "regal/bad", File: filepath.Join(scaffold, "owned.yaml"), Line: 26, Message: "It is bad"}}, got)
	_, err = lint.Regal(t.Context(), regal(t, `echo "it broke" >&2`), sources)
	require.ErrorContains(t, err, "it broke")
	_, err = lint.Regal(t.Context(), "none-of-that-name", sources)
	assert.Error(t, err)
}

// TestFormattingChangesRegoAlone: comments and the rest of a manifest stay as they are, and it is done once.
func TestFormattingChangesRegoAlone(t *testing.T) {
	t.Parallel()
	sources, err := lint.Find([]string{scaffold, "../../policies"})
	require.NoError(t, err)
	files, err := lint.Format(sources)
	require.NoError(t, err)
	assert.Empty(t, files)

	in := folder(t, "      some host in input.egress.hosts\n", "          some   host in\n            input.egress.hosts\n\n\n")
	file := filepath.Join(in, "owned.yaml")
	before, err := os.ReadFile(file)
	require.NoError(t, err)
	two := string(before) + "---\n# another\n" + strings.ReplaceAll(string(before), "name: owned", "name: other") + "\n# the end\n"
	require.NoError(t, os.WriteFile(file, []byte(two), 0o600))
	sources, err = lint.Find([]string{in})
	require.NoError(t, err)
	files, err = lint.Format(sources)
	require.NoError(t, err)
	require.Len(t, files, 1)
	original, err := os.ReadFile(filepath.Join(scaffold, "owned.yaml"))
	require.NoError(t, err)
	want := strings.ReplaceAll(string(original), "      some host in input.egress.hosts\n", "      some host in input.egress.hosts\n\n")
	want += "---\n# another\n" + strings.ReplaceAll(want, "name: owned", "name: other") + "\n# the end\n"
	assert.Equal(t, want, files[0].After)
	assert.NotContains(t, files[0].After, "\t")

	require.NoError(t, os.WriteFile(file, []byte(files[0].After), 0o600))
	sources, err = lint.Find([]string{in})
	require.NoError(t, err)
	files, err = lint.Format(sources)
	require.NoError(t, err)
	assert.Empty(t, files)
}

// TestWhatTabsMeanStays: in a text over lines they are not indentation.
func TestWhatTabsMeanStays(t *testing.T) {
	t.Parallel()
	in := folder(t, "    labelled if", "    text := `a\n    \tb`\n\n    labelled   if")
	sources, err := lint.Find([]string{in})
	require.NoError(t, err)
	files, err := lint.Format(sources)
	require.NoError(t, err)
	require.Len(t, files, 1)
	assert.Contains(t, files[0].After, "text := `a\n    \tb`\n")
}

// TestOtherTextsAreNotTouched: a manifest that has its Rego in quotes cannot be formatted, and says so.
func TestOtherTextsAreNotTouched(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "p.yaml")
	require.NoError(t, os.WriteFile(file, []byte("apiVersion: egress-governor.io/v1alpha1\nkind: EgressPolicy\nmetadata: {name: p}\nspec:\n  rego: \"package p\\n\\ndeny contains   \\\"no\\\"\\n\"\n"), 0o600))
	sources, err := lint.Find([]string{file})
	require.NoError(t, err)
	_, err = lint.Format(sources)
	assert.ErrorContains(t, err, file+":5: the Rego of EgressPolicy p is not formatted, and can be so in a block alone (rego: |)")
}
