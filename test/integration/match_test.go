package integration

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// policyOf makes an EgressPolicy as it is written, and removes it after the test.
func policyOf(t *testing.T, c client.Client, name, spec string) (*unstructured.Unstructured, error) {
	t.Helper()
	policy := object(t, "", "apiVersion: egress-governor.io/v1alpha1\nkind: EgressPolicy\nmetadata: {name: "+name+"}\nspec: "+spec)
	if err := c.Create(t.Context(), policy); err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		// The test's own context is over here.
		_ = shared.Client.Delete(context.Background(), policy)
	})
	eventually(t, func() bool { return inForce(get(t, policy)) }, "the policy is in force")
	return policy, nil
}

// entryOf returns an entry of a host, exported to its own namespace and to those that are named.
func entryOf(t *testing.T, ns, name, host string, exportTo ...string) *unstructured.Unstructured {
	t.Helper()
	spec := strings.Replace(strings.ReplaceAll(hostSpec, "HOST", host), "{", "{exportTo: ["+strings.Join(append([]string{`"."`}, exportTo...), ", ")+"], ", 1)
	return entry(t, "v1", ns, name, spec)
}

// TestAPolicySelectsNamespacesByName, and what it excludes is nobody's way to those that it selects.
func TestAPolicySelectsNamespacesByName(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"named-a", "named-free", "other-named"} {
		require.NoError(t, shared.Client.Create(t.Context(), &corev1.Namespace{ObjectMeta: named("", name)}))
	}
	_, err := policyOf(t, shared.Client, "named", `{match: {kinds: [ServiceEntry], namespaces: ["named-*"], exclude: ["*-free"]}, policy: denied-hosts, parameters: {hosts: [evil.named.test]},
		docs: "https://wiki.example.com/egress", messages: {host-denied: "evil.named.test is not ours to call"}}`)
	require.NoError(t, err)
	create := func(ns string, exportTo ...string) error {
		return shared.Client.Create(t.Context(), entryOf(t, ns, "evil", "evil.named.test", exportTo...), client.DryRunAll)
	}
	err = create("named-a")
	require.Error(t, err)
	assert.Contains(t, err.Error(), "named: spec.hosts[0]: evil.named.test is not ours to call (denied-hosts).\nFix: ")
	assert.True(t, strings.HasSuffix(err.Error(), "\nDocs: https://wiki.example.com/egress"), err.Error())
	require.NoError(t, create("named-free"))
	require.NoError(t, create("other-named"))
	eventually(t, func() bool { err = create("named-free", "named-a"); return err != nil }, "the namespace is known")
	assert.Contains(t, err.Error(), `evil.named.test is not ours to call, for namespace "named-a", to which this entry is exported`)
}

// TestTheGlassOfAPolicyIsBroken by those whom it names alone, who are told and noted down; the audit judges what they stored.
func TestTheGlassOfAPolicyIsBroken(t *testing.T) {
	t.Parallel()
	// The namespace of which the API server's audit log is kept.
	require.NoError(t, client.IgnoreAlreadyExists(shared.Client.Create(t.Context(), &corev1.Namespace{ObjectMeta: named("", "break-glass")})))
	policy, err := policyOf(t, shared.Client, "glass", `{match: {namespaces: [break-glass], excludeUsers: [policy-firefighter], excludeGroups: ["glass:fire"]}, policy: denied-hosts, parameters: {hosts: [evil.glass.test]}}`)
	require.NoError(t, err)
	for user, group := range map[string]string{"policy-firefighter": "glass:none", "another": "glass:fire"} {
		c, heard := as(t, user, group)
		in := entryOf(t, "break-glass", user, "evil.glass.test")
		require.NoError(t, c.Create(t.Context(), in))
		t.Cleanup(func() {
			// The test's own context is over here.
			_ = shared.Client.Delete(context.Background(), in)
		})
		assert.Contains(t, strings.Join(heard.texts, "\n"), "user "+user+" is excluded from EgressPolicy glass, which did not look at this")
		eventually(t, func() bool {
			raw, err := os.ReadFile(shared.AuditLog)
			return err == nil && strings.Contains(string(raw), `"validate.egress-governor.io/exempt-user":"`+user+`"`)
		}, "the audit log")
	}
	c, _ := as(t, "third", "glass:fires")
	assert.Equal(t, int32(403), code(c.Create(t.Context(), entryOf(t, "break-glass", "third", "evil.glass.test"))))

	// A pass of the audit begins when a policy is in force in another version.
	_, err = policyOf(t, shared.Client, "glass-again", `{match: {namespaces: [nobody]}, policy: no-wildcards}`)
	require.NoError(t, err)
	eventually(t, func() bool {
		violations, _, _ := unstructured.NestedInt64(get(t, policy).Object, "status", "violations")
		return violations == 2
	}, "the audit knows no users")
}

// TestWhoLabelsAnObjectEscapesAnObjectSelector, and whoever applies such a policy is told.
func TestWhoLabelsAnObjectEscapesAnObjectSelector(t *testing.T) {
	t.Parallel()
	c, heard := warned(t)
	policy, err := policyOf(t, c, "labels", `{match: {kinds: [ServiceEntry], objectSelector: {matchLabels: {tier: labels-test}}}, policy: denied-hosts, parameters: {hosts: [evil.labels.test]}}`)
	require.NoError(t, err)
	assert.Contains(t, strings.Join(heard.texts, "\n"), "whoever labels it otherwise escapes this policy")
	conditions, _, _ := unstructured.NestedSlice(get(t, policy).Object, "status", "conditions")
	assert.Contains(t, conditions[0].(map[string]any)["message"], "whoever labels it otherwise escapes this policy")
	in := entryOf(t, namespace(t, nil), "evil", "evil.labels.test")
	require.NoError(t, shared.Client.Create(t.Context(), in.DeepCopy(), client.DryRunAll))
	in.SetLabels(map[string]string{"tier": "labels-test"})
	assert.Equal(t, int32(403), code(shared.Client.Create(t.Context(), in)))
}

// TestTheSchemaRefusesWhatNeedsNoCompiler, by the API server alone.
func TestTheSchemaRefusesWhatNeedsNoCompiler(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string]string{
		`{policy: no-wildcards, match: {namespaces: []}}`:                              "spec.match.namespaces",
		`{policy: no-wildcards, match: {namespaces: ["Team"]}}`:                        "spec.match.namespaces[0]",
		`{policy: no-wildcards, match: {namespaces: ["a", "a"]}}`:                      "spec.match.namespaces[1]",
		`{policy: no-wildcards, match: {exclude: ["**"]}}`:                             "spec.match.exclude: Invalid value: would exclude every namespace",
		`{policy: no-wildcards, match: {excludeUsers: [""]}}`:                          "spec.match.excludeUsers[0]",
		`{policy: no-wildcards, match: {excludeGroups: ["system:authenticated"]}}`:     "spec.match.excludeGroups: Invalid value: system:authenticated is everybody",
		`{policy: no-wildcards, docs: "http://wiki"}`:                                  "must be an https URL",
		`{policy: no-wildcards, messages: {wildcard-host: "%s"}}`:                      "a message is a sentence on one line, without %",
		`{policy: no-wildcards, messages: {wildcard-host: "a\nb"}}`:                    "a message is a sentence on one line, without %",
		`{policy: no-wildcards, messages: {wildcard: "no"}}`:                           `no rule of the policy has the code "wildcard"; it has wildcard-host`,
		`{policy: no-wildcards, match: {objectSelector: {matchExpressions: [{}]}}}`:    "spec.match.objectSelector",
		`{policy: no-wildcards, match: {objectSelector: {matchLabels: {"a/b/c": x}}}}`: "spec.match.objectSelector",
	} {
		_, err := policyOf(t, shared.Client, "schema", spec)
		require.Error(t, err, spec)
		assert.Contains(t, strings.ReplaceAll(err.Error(), `"array": `, ""), want, spec)
	}
}

// TestAPolicySaysHowManyRequestsItJudged, and what became of them; dry runs are not counted.
func TestAPolicySaysHowManyRequestsItJudged(t *testing.T) {
	t.Parallel()
	for enforcement, effect := range map[string]string{"Deny": "denied", "Warn": "warned", "Audit": "audited"} {
		name := "counting-" + strings.ToLower(enforcement)
		require.NoError(t, shared.Client.Create(t.Context(), &corev1.Namespace{ObjectMeta: named("", name)}))
		policy, err := policyOf(t, shared.Client, name, `{enforcement: `+enforcement+`, match: {namespaces: [`+name+`]}, policy: denied-hosts, parameters: {hosts: ["*.`+name+`.test"]}}`)
		require.NoError(t, err)
		in := entryOf(t, name, "evil", "evil."+name+".test")
		_ = shared.Client.Create(t.Context(), in.DeepCopy(), client.DryRunAll)
		_ = shared.Client.Create(t.Context(), in)
		var counted map[string]any
		eventually(t, func() bool {
			counted, _, _ = unstructured.NestedMap(get(t, policy).Object, "status", "requests")
			return counted != nil
		}, "the requests are counted")
		want := map[string]any{"judged": int64(1), "audited": int64(0), "warned": int64(0), "denied": int64(0), "failed": int64(0)}
		want[effect] = int64(1)
		assert.Equal(t, want, counted, enforcement)
	}
}
