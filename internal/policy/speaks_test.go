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
