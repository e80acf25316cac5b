package policy_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
)

func ofRego(body string) *v1alpha1.EgressPolicy {
	return egressPolicy("p", v1alpha1.EgressPolicySpec{Rego: "package own\n\n" + body})
}

// TestFieldsThatTheInputNeverHasAreRefused by file and line, with those that it has; what may be there is not.
func TestFieldsThatTheInputNeverHasAreRefused(t *testing.T) {
	t.Parallel()
	e := whole(t)
	for body, says := range map[string][]string{
		`deny contains "x" if input.obejct.spec`:                                                {"p.rego:3", "input.obejct", `"object"`},
		"deny contains \"x\" if {\n\tsome host in input.egress.hosts\n\thost.hosts == \"a\"\n}": {"p.rego:5", "hosts", "canonical"},
		`deny contains "x" if input.namespace.label.team`:                                       {"p.rego:3", "label", `"labels"`},
		"deny contains \"x\" if is_bad(input.user.nam)\n\nis_bad(name) if name == \"a\"":        {"p.rego:3", "nam"},
		`deny contains "x" if input.operation + 1 == 2`:                                         {"p.rego:3"},
	} {
		err := e.Check(ofRego(body))
		require.Error(t, err, body)
		for _, part := range says {
			require.ErrorContains(t, err, part, body)
		}
		require.NoError(t, e.Set(ofRego(body)), "what is stored goes on: "+body)
	}
	for _, body := range []string{
		`deny contains "x" if input.object.spec.whatever[_].is.there`,
		`deny contains "x" if input.parameters.anything.at.all`,
		"deny contains \"x\" if {\n\tsome key in [\"obejct\"]\n\tinput[key]\n}",
		`deny contains "x" if object.get(input, ["obejct"], false)`,
		`deny contains "x" if input.oldObject.spec.hosts != input.object.spec.hosts`,
		`deny contains "x" if input.namespace.labels.team != "a"`,
		`deny contains "x" if count(input.parameters.hosts - {"a"}) > 0`,
	} {
		require.NoError(t, e.Check(ofRego(body)), body)
	}
	_, err := e.CheckBundle("acme", bundleOf(nil, map[string]string{"/a.rego": "package policies.a\n\ndeny contains \"x\" if input.obejct\n"}))
	require.ErrorContains(t, err, "acme/a.rego:3")
	_, err = e.CheckBundle("acme", bundleOf(nil, map[string]string{
		"/a.rego": "package policies.a\n\ndeny contains \"x\" if input.object\n", "/mask.rego": "package system.log\n\nmask contains \"/input/user\" if input.input.kind == \"Sidecar\"\n",
	}))
	require.NoError(t, err)
}

// TestParametersThatNobodyReadsAreTold, and none that may be read.
func TestParametersThatNobodyReadsAreTold(t *testing.T) {
	t.Parallel()
	e := whole(t)
	for body, told := range map[string]string{
		`deny contains "x" if input.parameters.other`:                        "spec.parameters.label: p.rego never reads it; it reads other",
		`deny contains "x" if object.get(input.parameters, "other", 1) == 1`: "spec.parameters.label: p.rego never reads it; it reads other",
		`deny contains "x"`:                                                                                   "spec.parameters.label: p.rego never reads it; it reads none",
		`deny contains "x" if input.parameters.label`:                                                         "",
		`deny contains "x" if input.parameters["label"]`:                                                      "",
		`deny contains "x" if object.get(input.parameters, "label", 1) == 1`:                                  "",
		`deny contains "x" if object.get(input, ["parameters", "label"], 1) == 1`:                             "",
		"deny contains \"x\" if {\n\tsome key in [\"label\"]\n\tinput.parameters[key]\n}":                     "",
		"deny contains \"x\" if {\n\tsome key in [\"label\"]\n\tobject.get(input.parameters, key, 1) == 1\n}": "",
		"deny contains \"x\" if labelled(input)\n\nlabelled(of) if of.parameters.label":                       "",
		"deny contains \"x\" if labelled(input.parameters)\n\nlabelled(of) if of.label":                       "",
		"deny contains \"x\" if {\n\tall := input\n\tall.parameters.label\n}":                                 "",
		"deny contains input.object[input.parameters.label]":                                                  "",
		"deny contains x if some x, _ in input.parameters":                                                    "",
	} {
		of := ofRego(body)
		of.Spec.Parameters = parameters(`{"label": "a"}`)
		require.NoError(t, e.Set(of), body)
		assert.Equal(t, told, strings.Join(e.Unread(of), "\n"), body)
	}
}

// TestWhatIsToldOfParametersIsBounded: Ready says it, too.
func TestWhatIsToldOfParametersIsBounded(t *testing.T) {
	t.Parallel()
	of := ofRego(`deny contains "x"`)
	var given []string
	for i := range 5000 {
		given = append(given, fmt.Sprintf("%q: 1", fmt.Sprint(strings.Repeat("x", 500), i)))
	}
	of.Spec.Parameters = parameters("{" + strings.Join(given, ",") + "}")
	told := whole(t).Unread(of)
	require.Len(t, told, 11)
	assert.Equal(t, "spec.parameters: it never reads 4990 others", told[10])
	assert.Less(t, len(strings.Join(told, "\n")), 4000)
}

// TestTheLibraryReadsWhatThereIs, written as anybody's own Rego: no alarm is false there.
func TestTheLibraryReadsWhatThereIs(t *testing.T) {
	t.Parallel()
	e := whole(t)
	for name, file := range folders(t) {
		rego, err := os.ReadFile(file)
		require.NoError(t, err)
		raw, err := os.ReadFile(filepath.Join(filepath.Dir(file), "example.yaml"))
		require.NoError(t, err)
		example := &v1alpha1.EgressPolicy{}
		require.NoError(t, yaml.UnmarshalStrict(raw, example), name)
		assert.Empty(t, e.Unread(example), name)
		example.Spec.Policy, example.Spec.Rego = "", string(rego)
		require.NoError(t, e.Check(example), name)
		assert.Empty(t, e.Unread(example), name)
	}
}

// TestKindsThatAPolicyIsNotForAreTold: of what its METADATA does not name it says nothing. Where that names none nobody knows.
func TestKindsThatAPolicyIsNotForAreTold(t *testing.T) {
	t.Parallel()
	e := whole(t)
	of := egressPolicy("p", v1alpha1.EgressPolicySpec{Policy: "tls-only", Match: v1alpha1.Match{Kinds: []v1alpha1.Kind{"ServiceEntry", "DestinationRule"}}})
	assert.Equal(t, []string{"spec.match.kinds[1]: tls_only/tls_only.rego is not for DestinationRule, and says nothing of it; by its METADATA it is for ServiceEntry"}, e.Unread(of))
	of.Spec.Match.Kinds = of.Spec.Match.Kinds[:1]
	assert.Empty(t, e.Unread(of))
	own := ofRego(`deny contains "x" if input.name == "a"`)
	own.Spec.Match.Kinds = []v1alpha1.Kind{"Sidecar"}
	assert.Empty(t, e.Unread(own))
}

// TestWhoDecidesByAClientThatIsNotAskedForIsTold: a policy that selects every namespace is asked for the object's own alone.
func TestWhoDecidesByAClientThatIsNotAskedForIsTold(t *testing.T) {
	t.Parallel()
	e := whole(t)
	for body, told := range map[string]bool{
		`deny contains "x" if input.client.labels["data-class"] == "restricted"`:             true,
		`deny contains "x" if object.get(input.client, ["labels", "data-class"], "") == "x"`: true,
		"deny contains \"x\" if {\n\tof := input.client\n\tof.labels.team == \"a\"\n}":       true,
		"deny contains \"x\" if bad\n\nbad if input.client.labels.team == \"a\"":             true,
		`deny contains sprintf("not in %s", [input.client.name]) if input.egress.allClients`: false,
		`deny contains "x" if input.namespace.labels.team == "a"`:                            false,
	} {
		of := ofRego(body)
		require.NoError(t, e.Check(of), body)
		warnings := e.Unread(of)
		require.Equal(t, told, len(warnings) == 1, "%s: %v", body, warnings)
		if told {
			assert.Regexp(t, `^spec\.match: p\.rego:[3-6] decides by input\.client, `, warnings[0])
		}
		of.Spec.Match.Namespaces = []v1alpha1.NamespacePattern{"payments"}
		assert.Empty(t, e.Unread(of), body)
	}
}
