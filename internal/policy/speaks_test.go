package policy_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestARuleThatHasNothingToSayIsRefused by its line, and not once it denies something; what else makes results is its author's.
func TestARuleThatHasNothingToSayIsRefused(t *testing.T) {
	t.Parallel()
	e := whole(t)
	const imports = "import data.policies.lib.result\n\n"
	const rule = "deny contains result.of(rego.metadata.rule(), \"spec\", [], [])\n"
	for body, says := range map[string]string{
		imports + rule: "p.rego:5: the METADATA of this rule has no title",
		imports + "# METADATA\n# title: Never\n" + rule:                                                           "p.rego:7: the METADATA of this rule has no custom.msg",
		imports + "# METADATA\n# title: Never\n# custom:\n#   msg: ''\n" + rule:                                   "p.rego:9: the METADATA of this rule has no custom.msg",
		imports + "# METADATA\n# custom:\n#   msg: never\n" + rule:                                                "p.rego:8: the METADATA of this rule has no title",
		imports + "# METADATA\n# scope: document\n# title: Never\n# custom:\n#   msg: never\n" + rule:             "p.rego:10: the METADATA of this rule has no title",
		imports + "# METADATA\n# title: Never\n# custom:\n#   msg: never\n" + rule:                                "",
		"import data.policies.lib.result as r\n\ndeny contains r.of(rego.metadata.rule(), \"spec\", [], [])\n":    "p.rego:5",
		"# METADATA\n# title: Own\ndeny contains {\"msg\": \"x\", \"code\": rego.metadata.rule().title}\n":        "",
		imports + "deny contains result.of({\"title\": \"x\", \"custom\": {\"msg\": \"y\"}}, \"spec\", [], [])\n": "",
	} {
		err := e.Check(ofRego(body))
		if says == "" {
			require.NoError(t, err, body)
			continue
		}
		require.ErrorContains(t, err, says, body)
		_, err = e.CheckBundle("acme", bundleOf(nil, map[string]string{"/a.rego": "package policies.a\n\n" + body}))
		require.ErrorContains(t, err, "the METADATA of this rule has no", body)
		require.NoError(t, e.Set(ofRego(body)), "what is stored goes on")
	}
}

// TestWhatNobodyReadsIsRefused: a name in METADATA that is nearly one that counts, one in the wrong place, and templates that another
// number of values is given to. What is its author's own is left.
func TestWhatNobodyReadsIsRefused(t *testing.T) {
	t.Parallel()
	e := whole(t)
	rule := func(custom, call string) string {
		return "import data.policies.lib.result\n\n# METADATA\n# title: Never\n# custom:\n" + custom + "deny contains " + call + "\n"
	}
	of := func(msg, fix string) string {
		return "result.of(rego.metadata.rule(), \"spec\", " + msg + ", " + fix + ")"
	}
	for body, says := range map[string]string{
		rule("#   msg: never\n#   fixs: x\n", of("[]", "[]")):                     "custom.fixs is read by nobody: write custom.fix",
		rule("#   msg: never\n#   message: x\n", of("[]", "[]")):                  "custom.message is read by nobody: write custom.msg",
		rule("#   msg: never\n#   kinds: [Gateway]\n", of("[]", "[]")):            "custom.kinds stands in the METADATA of the package",
		rule("#   msg: host %q in %q\n", of(`["a"]`, "[]")):                       `custom.msg takes 2 values and is given 1: "host %q in %q"`,
		rule("#   msg: host\n", of(`["a"]`, "[]")):                                "custom.msg takes 0 values and is given 1",
		rule("#   msg: host\n#   fix: ask %[1]s, %[1]s\n", of("[]", "[]")):        "custom.fix takes 1 values and is given 0",
		rule("#   msg: at 100%\n", of("[]", "[]")):                                "custom.msg is no template of sprintf",
		rule("#   msg: host\n", "x if x := "+of(`["a"]`, "[]")):                   "custom.msg takes 0 values and is given 1",
		rule("#   msg: 100%% of %d\n#   severity: high\n", of("[1]", "[]")):       "",
		rule("#   msg: host %s\n#   owner: team-a\n", of("[v | v := 1]", "[]")):   "",
		rule("#   msg: host %s\n#   fix: '%*d %s'\n", of(`["a"]`, `[1, 2, "x"]`)): "",
	} {
		err := e.Check(ofRego(body))
		if says == "" {
			require.NoError(t, err, body)
			continue
		}
		require.ErrorContains(t, err, says, body)
		require.ErrorContains(t, err, "rego: p.rego:", body)
		_, err = e.CheckBundle("acme", bundleOf(nil, map[string]string{"/a.rego": "package policies.a\n\n" + body}))
		require.ErrorContains(t, err, says, body)
		require.NoError(t, e.Set(ofRego(body)), "what is stored goes on")
	}
	for name, says := range map[string]string{
		"kind": "write custom.kinds", "params": "write custom.parameters", "parameter": "write custom.parameters",
		"Kinds": "write custom.kinds", "msg": "custom.msg stands in the METADATA of a rule", "team": "",
	} {
		policy := ofRego("")
		policy.Spec.Rego = "# METADATA\n# title: P\n# custom:\n#   " + name + ": x\npackage p\n\ndeny contains \"x\" if false\n"
		if err := e.Check(policy); says == "" {
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, says, name)
		}
	}
}
