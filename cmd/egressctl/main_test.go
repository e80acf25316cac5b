package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// run runs a command line and returns its exit code and what it printed.
func run(t *testing.T, in string, args ...string) (code int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = execute(t.Context(), append([]string{"egressctl"}, args...), strings.NewReader(in), &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

func content(t *testing.T, file string) string {
	t.Helper()
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	return string(raw)
}

// word is one of a command line.
var word = regexp.MustCompile(`'[^']*'|\S+`)

// commands returns the arguments of egressctl in a line of shell, and whether something is piped into it; nil for a line that has
// others alone.
func commands(line string) (args []string, piped bool) {
	for i, part := range strings.Split(line, " | ") {
		words := word.FindAllString(part, -1)
		if len(words) > 0 && words[0] == "egressctl" {
			for _, each := range words[1:] {
				args = append(args, strings.Trim(each, "'"))
			}
			return args, i > 0
		}
	}
	return nil, false
}

// TestEveryExampleRuns: in a folder with the files that they name, as they stand in the help.
func TestEveryExampleRuns(t *testing.T) {
	folder := t.TempDir()
	require.NoError(t, os.CopyFS(folder, os.DirFS("testdata")))
	releaseKey(t, folder)
	t.Chdir(folder)
	ran := 0
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		if cmd.Runnable() && cmd.HasParent() && cmd.Name() != "completion" {
			assert.NotEmpty(t, cmd.Example, cmd.CommandPath())
		}
		for _, line := range strings.Split(cmd.Example, "\n") {
			args, piped := commands(strings.TrimSpace(line))
			if args == nil || strings.Contains(line, "registry.example.com") {
				// Those of a registry test/integration runs, which has one.
				continue
			}
			in := ""
			switch {
			case piped && args[0] == "discover":
				in = content(t, "access.log")
			case piped:
				in = content(t, "stored.yaml")
			}
			if args[0] == "review" { // nobody but the controller applies what is stored of an exit
				in = content(t, "entry.yaml")
			}
			code, out, errs := run(t, in, args...)
			assert.Equal(t, clean, code, "%s\n%s", line, errs)
			if !strings.Contains(line, "--write") && !strings.Contains(line, "github") && !strings.Contains(line, "policy fmt") {
				assert.NotEmpty(t, out, line)
			}
			ran++
		}
		for _, child := range cmd.Commands() {
			visit(child)
		}
	}
	visit(command("egressctl"))
	assert.Greater(t, ran, 10)
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	broken := filepath.Join(t.TempDir(), "broken.yaml")
	require.NoError(t, os.WriteFile(broken, []byte("apiVersion: egress-governor.io/v1alpha1\nkind: EgressPolicy\nmetadata: {name: p}\nspec: {policy: none}\n"), 0o600))
	for want, lines := range map[int][]string{
		clean: {"version", "review -f testdata/evil.yaml", "review -f testdata/entry.yaml -p testdata/policies", "library -o json", "review -f testdata/entry.yaml --strict", "review -f testdata/entry.yaml -p testdata/policies -R", "review -f testdata/stored.yaml --guards=false"},
		violations: {
			"review -f testdata/evil.yaml -f testdata/entry.yaml -p testdata/policies", "render -f testdata/evil.yaml --cluster testdata/cluster.yaml",
			"review -f " + broken, "review -f testdata/stored.yaml",
		},
		failed: {
			"", "nonsense", "policy nonsense", "completion nonsense", "review testdata/evil.yaml", "library --nonsense", "review", "review -f none.yaml", "review -f testdata/evil.yaml -o xml", "review -f testdata/evil.yaml -p " + broken, "review -f testdata/evil.yaml -p testdata/entry.yaml",
			"review -f testdata/evil.yaml --baseline Never", "review -f testdata/evil.yaml --time today", "review -f testdata/evil.yaml --config testdata/entry.yaml",
			"review -f testdata/evil.yaml --kubeconfig none", "render -f testdata/evil.yaml --diff=all", "input -f testdata/evil.yaml -o xml", "input -f testdata/evil.yaml --policy none",
			"input -f testdata/policies", "library none", "library -o xml", "unrender -f testdata/none",
		},
	} {
		for _, line := range lines {
			if line == "" {
				continue
			}
			code, _, errs := run(t, "", strings.Fields(line)...)
			assert.Equal(t, want, code, "%s\n%s", line, errs)
			assert.Equal(t, want == failed, strings.HasPrefix(errs, "Error: "), "%s\n%s", line, errs)
		}
	}
}

// TestWhatIsStoredAsItIsWrittenHasNoDifference: the version in which Istio's kinds are written, and what others tell of an object, are
// none.
func TestWhatIsStoredAsItIsWrittenHasNoDifference(t *testing.T) {
	t.Parallel()
	stored := filepath.Join(t.TempDir(), "stored.yaml")
	text := strings.Replace(content(t, "testdata/stored.yaml"), "kind: Gateway\n", "kind: Gateway\nstatus: {conditions: [{type: Ready, status: \"True\"}]}\n", 1)
	require.NoError(t, os.WriteFile(stored, []byte(text), 0o600))
	written := strings.Replace(content(t, "testdata/entry.yaml"), "networking.istio.io/v1\n", "networking.istio.io/v1beta1\n", 1)
	code, out, errs := run(t, written, "render", "-f", "-", "--cluster", stored, "--diff=cluster")
	assert.Equal(t, clean, code, errs)
	assert.Empty(t, out)
	code, out, errs = run(t, strings.Replace(written, "number: 443", "number: 8443", 1), "render", "-f", "-", "--cluster", stored, "--diff=cluster")
	assert.Equal(t, clean, code, errs)
	assert.Contains(t, out, "+++ ServiceEntry payments/stripe\n")
}

// TestAWrongCommandLineIsToldWithTheRightOne, and nothing else is.
func TestAWrongCommandLineIsToldWithTheRightOne(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"reviewe -f x":              "Error: unknown command \"reviewe\" for \"egressctl\"; did you mean review?\nUsage: egressctl [command]\nSee 'egressctl --help'.\n",
		"policy benhc":              "Error: unknown command \"benhc\" for \"egressctl policy\"; did you mean bench?\nUsage: egressctl policy [command]\nSee 'egressctl policy --help'.\n",
		"completion sh":             "Error: unknown command \"sh\" for \"egressctl completion\"",
		"review testdata/evil.yaml": "Error: \"testdata/evil.yaml\" is not expected here: files and folders are named by -f\nUsage: egressctl review -f FILES [flags]\n",
		"check testdata/evil.yaml":  "Error: \"testdata/evil.yaml\" is not expected here\nUsage: egressctl check",
		"review":                    "Error: required flag(s) \"filename\" not set\nUsage: egressctl review -f FILES [flags]\nSee 'egressctl review --help'.\n",
		"trace shop":                "Error: accepts 2 arg(s), received 1\nUsage: egressctl trace NAMESPACE",
		"library --all":             "Error: unknown flag: --all\nUsage: egressctl library",
	} {
		code, out, errs := run(t, "", strings.Fields(line)...)
		assert.Equal(t, failed, code, line)
		assert.True(t, strings.HasPrefix(errs, want), "%s\n%s", line, errs)
		assert.Empty(t, out, line)
	}
	_, _, errs := run(t, "", "review", "-f", "none.yaml")
	assert.NotContains(t, errs, "Usage: ", "the command line was right")
	code, out, _ := run(t, "", "__complete", "rev")
	assert.Equal(t, clean, code)
	assert.Contains(t, out, "review")
	code, out, _ = run(t, "", "policy")
	assert.Equal(t, clean, code)
	assert.Contains(t, out, "Available Commands:")
}

// TestAnInterruptedReviewEnds where it is, whatever is left.
func TestAnInterruptedReviewEnds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs bytes.Buffer
	assert.Equal(t, failed, execute(ctx, []string{"egressctl", "review", "-f", "testdata/evil.yaml"}, nil, &out, &errs))
	assert.Equal(t, "Error: interrupted\n", errs.String())
	assert.Empty(t, out.String())
}

// TestErrorsNameFileAndLine of everything that cannot be read, at once.
func TestErrorsNameFileAndLine(t *testing.T) {
	t.Parallel()
	code, out, errs := run(t, "apiVersion: v1\nkind: Namespace\n---\napiVersion: networking.istio.io/v2\n", "review", "-f", "-")
	assert.Equal(t, failed, code)
	assert.Empty(t, out)
	assert.Equal(t, "Error: stdin:1: Namespace has no name\nError: stdin:4: is not an object: it has no kind\n", errs)
	code, _, errs = run(t, "\napiVersion: networking.istio.io/v2\nkind: Gateway\nmetadata: {name: a, namespace: b}\n", "review", "-f", "-")
	assert.Equal(t, failed, code)
	assert.Equal(t, "Error: stdin:2: Gateway b/a: version \"v2\" of Gateway is not known; known are v1, v1beta1, v1alpha3\n", errs)
	code, _, errs = run(t, "", "review", "-f", "testdata/evil.yaml", "-p", "testdata/manifests")
	assert.Equal(t, failed, code)
	assert.Contains(t, errs, "Error: testdata/manifests/entry.yaml:1: Namespace payments is not an EgressPolicy\n")
}

// TestErrorsOfRegoNameTheLineOfTheManifest, and not that of a file that nobody has.
func TestErrorsOfRegoNameTheLineOfTheManifest(t *testing.T) {
	t.Parallel()
	folder := suites(t)
	file := filepath.Join(folder, "owned", "owned.yaml")
	replace(t, file, "      host.leaves\n", "      host.leaves\n      unknown(host)\n")
	for _, command := range []string{"review", "explain", "simulate"} {
		args := []string{command, "-p", file, "--cluster", "testdata/stored.yaml"}
		if command != "simulate" {
			args = append(args, "-f", "testdata/evil.yaml")
		}
		code, _, errs := run(t, "", args...)
		assert.Equal(t, failed, code, command)
		assert.Contains(t, errs, file+":35: rego_type_error: undefined function unknown", command)
		assert.NotContains(t, errs, "owned.rego", command)
	}
}

// TestUnlabelledNamespacesAreTold: a policy that selects by labels would otherwise be left out without a word.
func TestUnlabelledNamespacesAreTold(t *testing.T) {
	t.Parallel()
	code, _, errs := run(t, "", "review", "-f", "testdata/evil.yaml", "-p", "testdata/policies")
	assert.Equal(t, clean, code)
	assert.Contains(t, errs, "Note: nothing declares namespace payments, so it is taken to have no labels; what selects by labels of namespaces may pass it over: EgressPolicy payments-hosts.")
	_, _, errs = run(t, "", "review", "-f", "testdata/evil.yaml", "--cluster", "testdata/cluster.yaml")
	assert.Empty(t, errs)
	_, _, errs = run(t, "", "review", "-f", "testdata/evil.yaml")
	assert.Empty(t, errs)
}

// TestNothingIsNotClean: a pipe whose first half failed has nothing wrong in it.
func TestNothingIsNotClean(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"review", "render", "unrender", "input"} {
		code, _, errs := run(t, "---\n# nothing\n", command, "-f", "-")
		assert.Equal(t, failed, code)
		assert.Equal(t, "Error: there are no objects in standard input\n", errs)
	}
}

// TestShellsOfferWhatFlagsTake: every --output that is no file, and what else is one of a few words.
func TestShellsOfferWhatFlagsTake(t *testing.T) {
	t.Parallel()
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		for _, flag := range []string{"output", "baseline", "diff"} {
			of := cmd.Flags().Lookup(flag)
			if of == nil || of.Value.Type() == "bool" || of.Annotations[cobra.BashCompFilenameExt] != nil {
				continue
			}
			words := strings.Fields(cmd.CommandPath() + " --" + flag + "=")
			words[0] = "__complete"
			code, out, _ := run(t, "", words...)
			assert.Equal(t, clean, code, words)
			assert.Contains(t, out, ":4\n", "%v: %s", words, out)
			assert.Greater(t, strings.Count(out, "\n"), 2, "%v: %s", words, out)
		}
		for _, child := range cmd.Commands() {
			visit(child)
		}
	}
	visit(command("egressctl"))
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		code, out, _ := run(t, "", "completion", shell)
		assert.Equal(t, clean, code)
		assert.Contains(t, out, "__complete")
	}
}

func TestKubectlFindsItsPlugin(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.Equal(t, clean, execute(t.Context(), []string{"/usr/local/bin/kubectl-egress", "review", "--help"}, nil, &out, &out))
	assert.Contains(t, out.String(), "kubectl egress review -f FILES [flags]")
}
