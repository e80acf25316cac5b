package policy_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/bundle"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/policy"
	"github.com/egress-governor/egress-governor/policies"
)

// whole is an engine with the library.
func whole(t *testing.T) *policy.Engine {
	t.Helper()
	out, err := policy.NewEngine(policies.Library())
	require.NoError(t, err)
	return out
}

// bundleOf is a bundle of Rego by file, with data.
func bundleOf(data map[string]any, files map[string]string) *bundle.Bundle {
	out := &bundle.Bundle{Data: data}
	for file, rego := range files {
		out.Modules = append(out.Modules, bundle.ModuleFile{Path: file, Raw: []byte(rego)})
	}
	return out
}

const saas = `# METADATA
# custom:
#   fix: ask the security team
#   kinds: [ServiceEntry]
package policies.saas_hosts

import data.acme.helpers
import data.policies.lib.result

# METADATA
# title: Not a SaaS host
# custom:
#   msg: host %q is no SaaS that we have a contract with
deny contains result.of(rego.metadata.rule(), "spec.hosts", [host], []) if {
	some host in input.object.spec.hosts
	not helpers.known(host)
}
`

const helpers = "package acme.helpers\n\nknown(host) if host in data.saas.hosts\n"

func hosts(hosts ...any) map[string]any {
	return map[string]any{"saas": map[string]any{"hosts": hosts}}
}

func using(name string) *v1alpha1.EgressPolicy {
	return egressPolicy("of-"+strings.ReplaceAll(name, "/", "-"), v1alpha1.EgressPolicySpec{Policy: name})
}

func asked(host string) policy.Review {
	return policy.Review{Kind: "ServiceEntry", Namespace: policy.Namespace{Name: "payments"}, Document: map[string]any{
		"object": map[string]any{"spec": map[string]any{"hosts": []any{host}}},
	}}
}

// TestAPolicyOfABundle reads the data and the helpers of its bundle, speaks by its METADATA, and goes by another version once it is
// set again; until the bundle comes, whatever it may select fails.
func TestAPolicyOfABundle(t *testing.T) {
	t.Parallel()
	e := whole(t)
	of := using("acme/saas-hosts")
	require.ErrorContains(t, e.Check(of), `spec.policy: no bundle "acme" is configured, nor any other`)
	e.ExpectBundles("acme")
	var missing *v1alpha1.BundleMissing
	require.ErrorAs(t, e.Set(of), &missing)
	require.Len(t, e.Evaluate(t.Context(), asked("a.test")).Failed, 1)
	assert.ElementsMatch(t, v1alpha1.Kinds, e.Kinds(), "what it is for is not known yet")
	e.Remove(of.Name)

	require.NoError(t, e.SetBundle("acme", bundleOf(hosts("a.test"), map[string]string{"/saas.rego": saas, "/lib/helpers.rego": helpers, "/saas_test.rego": "no Rego"})))
	require.NoError(t, e.Set(of))
	assert.Equal(t, []v1alpha1.Kind{"ServiceEntry"}, e.Kinds())
	assert.Empty(t, e.Evaluate(t.Context(), asked("a.test")).Denied)
	assert.Equal(t, []policy.Violation{{
		Policy: of.Name, Library: "acme/saas-hosts", Code: "not-a-saas-host", Field: "spec.hosts",
		Message: `host "b.test" is no SaaS that we have a contract with`, Fix: "ask the security team",
	}}, e.Evaluate(t.Context(), asked("b.test")).Denied)

	first := e.BundleDigest("acme")
	require.NotEmpty(t, first)
	assert.Contains(t, e.ParametersOf(of.Name), first)
	require.NoError(t, e.SetBundle("acme", bundleOf(hosts("b.test"), map[string]string{"/saas.rego": saas, "/lib/helpers.rego": helpers})))
	assert.NotEqual(t, first, e.BundleDigest("acme"))
	require.NoError(t, e.Set(of))
	assert.Empty(t, e.Evaluate(t.Context(), asked("b.test")).Denied)
	require.ErrorContains(t, e.Check(using("acme/other")), `bundle "acme" has no policy "other"; it has saas-hosts`)
	require.ErrorContains(t, e.Check(using("acme/x/saas-hosts")), `has no policy`)
	require.Error(t, e.Set(using("gone/saas-hosts")), "its bundle is not configured any more")
	assert.ElementsMatch(t, v1alpha1.Kinds, e.Kinds())
	require.ErrorContains(t, e.Check(using("other/saas-hosts")), `configured are acme`)
}

// TestABundleIsSharedByWhoeverUsesIt, while others of its versions come.
func TestABundleIsSharedByWhoeverUsesIt(t *testing.T) {
	t.Parallel()
	e := whole(t)
	version := func(host string) *bundle.Bundle {
		return bundleOf(hosts("a.test", host), map[string]string{"/saas.rego": saas, "/helpers.rego": helpers})
	}
	require.NoError(t, e.SetBundle("acme", version("0.test")))
	var users sync.WaitGroup
	for i := range 8 {
		users.Go(func() {
			of := egressPolicy(fmt.Sprint("user-", i), v1alpha1.EgressPolicySpec{Policy: "acme/saas-hosts", Parameters: parameters(fmt.Sprintf(`{"own": %d}`, i))})
			for range 10 {
				if err := e.Set(of); err != nil {
					t.Error(err)
				}
				assert.Empty(t, e.Evaluate(t.Context(), asked("a.test")).Denied)
				assert.NotEmpty(t, e.Evaluate(t.Context(), asked("b.test")).Denied)
			}
		})
	}
	for i := range 10 {
		require.NoError(t, e.SetBundle("acme", version(fmt.Sprint(i, ".test"))))
	}
	users.Wait()
}

// TestABadBundleChangesNothing, and no bundle takes the place of what is the library's.
func TestABadBundleChangesNothing(t *testing.T) {
	t.Parallel()
	e := whole(t)
	e.ExpectBundles("acme")
	good := bundleOf(hosts("a.test"), map[string]string{"/saas.rego": saas, "/helpers.rego": helpers})
	require.NoError(t, e.SetBundle("acme", good))
	of := using("acme/saas-hosts")
	require.NoError(t, e.Set(of))
	digest := e.BundleDigest("acme")
	deep := "package policies.deep\n\nv0 := [1, 2]\n\n"
	for i := range 40 {
		deep += fmt.Sprintf("v%d := [v%d, v%d]\n\n", i+1, i, i)
	}
	wide := bundleOf(map[string]any{"text": strings.Repeat("x", 17<<20)}, nil)
	for name, tc := range map[string]struct {
		of   *bundle.Bundle
		says string
	}{
		"an impure built-in":    {bundleOf(nil, map[string]string{"/a.rego": "package policies.a\n\ndeny contains http.send({}).raw_body\n"}), "acme/a.rego:3"},
		"an impure helper":      {bundleOf(nil, map[string]string{"/a.rego": "package acme.a\n\nnow := time.now_ns()\n"}), "acme/a.rego:3"},
		"a value of 2⁴⁰ parts":  {bundleOf(nil, map[string]string{"/a.rego": deep + "deny contains sprintf(\"%v\", [v40])\n"}), "holds the same more than 1000 times"},
		"Rego that is none":     {bundleOf(nil, map[string]string{"/a.rego": "package policies.a\n\ndeny contains\n"}), "acme/a.rego:4"},
		"the library's package": {bundleOf(nil, map[string]string{"/a.rego": "package policies.lib.hosts\n\ncovered(_, _)\n"}), "is the library's own"},
		"the library's data":    {bundleOf(map[string]any{"policies": map[string]any{"lib": map[string]any{"hosts": map[string]any{"covered": true}}}}, nil), "conflict"},
		"a policy in two files": {bundleOf(nil, map[string]string{"/a.rego": saas, "/b.rego": saas}), "is that of acme/a.rego already"},
		"a deny that is no set": {bundleOf(nil, map[string]string{"/a.rego": "package policies.a\n\ndeny := true\n"}), "must be a set"},
		"too much Rego":         {bundleOf(nil, map[string]string{"/a.rego": "package a\n" + strings.Repeat("# x\n", 2<<20)}), "MiB of Rego"},
		"too much data":         {wide, "MiB of data"},
		"Wasm":                  {&bundle.Bundle{WasmModules: []bundle.WasmModuleFile{{}}}, "Wasm"},
		"a delta":               {&bundle.Bundle{Patch: bundle.Patch{Data: []bundle.PatchOperation{{}}}}, "delta"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			require.ErrorContains(t, e.SetBundle("acme", tc.of), tc.says)
			assert.Less(t, time.Since(began), time.Minute, "what explodes would not end")
			assert.Equal(t, digest, e.BundleDigest("acme"))
			require.NoError(t, e.Set(of))
			assert.Len(t, e.Evaluate(t.Context(), asked("b.test")).Denied, 1)
		})
	}
	t.Run("the names of the library's policies stay the library's", func(t *testing.T) {
		t.Parallel()
		own := strings.ReplaceAll(saas, "saas_hosts", "no_wildcards")
		e := whole(t)
		require.NoError(t, e.SetBundle("acme", bundleOf(hosts(), map[string]string{"/a.rego": own, "/helpers.rego": helpers})))
		require.NoError(t, e.Check(using("acme/no-wildcards")))
		require.NoError(t, e.Set(using("no-wildcards")))
		assert.Empty(t, e.Evaluate(t.Context(), asked("b.test")).Denied)
	})
}

// TestAMaskReadsItselfAlone, by the bounds of every policy: where its helpers were missing, it would mask nothing.
func TestAMaskReadsItselfAlone(t *testing.T) {
	t.Parallel()
	_, err := policy.CompileMask(map[string]string{
		"a.rego": "package system.log\n\nmask contains \"/input/user\"\n", "b.rego": "package system.log\n\nmask contains path if some path in hidden\n\nhidden := {\"/input/object\"}\n",
	})
	require.NoError(t, err)
	for source, says := range map[string]string{
		"package system.log\n\nmask contains data.acme.x\n":                        "reads input and itself alone, and not data.acme.x",
		"package system.log\n\nimport data.acme\n\nmask contains acme.x\n":         "reads input and itself alone",
		"package system.log\n\nmask contains http.send({}).raw_body\n":             "a.rego:3",
		"package policies.x\n\nmask contains \"/input/user\"\n":                    "is not of package system.log",
		"package system.log\n\nmask contains x if x := data[input.which].hidden\n": "reads input and itself alone",
	} {
		_, err := policy.CompileMask(map[string]string{"a.rego": source})
		require.ErrorContains(t, err, says, source)
	}
}
