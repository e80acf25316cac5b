package integration

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/test/controlplane"
)

// policyFor makes an EgressPolicy that evaluates entries of the namespaces of one label, and those that are exported there,
// and removes it after the test. Routes of other tests are exported to everybody.
func policyFor(t *testing.T, label, spec string) (*unstructured.Unstructured, error) {
	t.Helper()
	policy := object(t, "", "apiVersion: egress-governor.io/v1alpha1\nkind: EgressPolicy\nmetadata: {name: "+label+"}\nspec:\n  match: {kinds: [ServiceEntry], namespaceSelector: {matchLabels: {test: "+label+"}}}\n"+spec)
	if err := shared.Client.Create(t.Context(), policy); err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		// The test's own context is over here.
		_ = shared.Client.Delete(context.Background(), policy)
	})
	eventually(t, func() bool { return inForce(get(t, policy)) }, "the policy is in force")
	return policy, nil
}

func inForce(policy *unstructured.Unstructured) bool {
	conditions, _, _ := unstructured.NestedSlice(policy.Object, "status", "conditions")
	return len(conditions) == 1 && conditions[0].(map[string]any)["status"] == "True"
}

const hostSpec = `{hosts: [HOST], resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}`

func TestPolicyIsEnforcedAsItSays(t *testing.T) {
	t.Parallel()
	for enforcement, want := range map[string]struct{ denied, warned bool }{"Deny": {denied: true}, "Warn": {warned: true}, "Audit": {}} {
		t.Run(enforcement, func(t *testing.T) {
			t.Parallel()
			label := "enforce-" + strings.ToLower(enforcement)
			_, err := policyFor(t, label, "  enforcement: "+enforcement+"\n  policy: allowed-hosts\n  parameters: {hosts: [ok.example.com]}\n")
			require.NoError(t, err)
			ns := namespace(t, map[string]string{"test": label})
			require.NoError(t, shared.Client.Create(t.Context(), entry(t, "v1", ns, "ok", strings.ReplaceAll(hostSpec, "HOST", "ok.example.com"))))
			c, heard := warned(t)
			err = c.Create(t.Context(), entry(t, "v1", ns, "bad", strings.ReplaceAll(hostSpec, "HOST", label+".evil.test")))
			const sentence = `: spec.hosts[0]: host "`
			if !want.denied {
				require.NoError(t, err)
				assert.Equal(t, want.warned, strings.Contains(strings.Join(heard.texts, "\n"), label+sentence))
				return
			}
			require.Error(t, err)
			assert.Equal(t, int32(403), code(err))
			assert.Equal(t, `admission webhook "validate.egress-governor.io" denied the request: enforce-deny: spec.hosts[0]: host "enforce-deny.evil.test" is not allowed in namespace "`+ns+`" (allowed-hosts).
Fix: ask the platform team to add it to this EgressPolicy, or use one of: ok.example.com
Docs: https://github.com/egress-governor/egress-governor/blob/main/docs/codes/host-not-allowed.md`, err.Error())
			assert.Empty(t, heard.texts, "nothing is said of a rewrite that is not stored")
		})
	}
}

func TestPolicyChangesLive(t *testing.T) {
	t.Parallel()
	policy, err := policyFor(t, "live", "  policy: allowed-hosts\n  parameters: {hosts: []}\n")
	require.NoError(t, err)
	ns := namespace(t, map[string]string{"test": "live"})
	create := func() error {
		return shared.Client.Create(t.Context(), entry(t, "v1", ns, "api", strings.ReplaceAll(hostSpec, "HOST", "live.example.org")), client.DryRunAll)
	}
	require.Error(t, create())
	patch := []byte(`{"spec":{"parameters":{"hosts":["*.example.org"]}}}`)
	require.NoError(t, shared.Client.Patch(t.Context(), policy, client.RawPatch(types.MergePatchType, patch)))
	eventually(t, func() bool { return create() == nil }, "the new list is in force")
	require.NoError(t, shared.Client.Patch(t.Context(), policy, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"parameters":{"hosts":[]}}}`))))
	eventually(t, func() bool { return create() != nil }, "the old list is in force again")
}

// TestAPolicyCountsForWhomAnEntryIsExportedTo: a namespace that may not call a host does not call it by another's entry.
func TestAPolicyCountsForWhomAnEntryIsExportedTo(t *testing.T) {
	t.Parallel()
	_, err := policyFor(t, "clients", "  policy: allowed-hosts\n  parameters: {hosts: [ok.clients.test]}\n")
	require.NoError(t, err)
	other, marketing := namespace(t, nil), namespace(t, map[string]string{"test": "clients"})
	create := func(host, exportTo string) error {
		spec := strings.Replace(strings.ReplaceAll(hostSpec, "HOST", host), "{", "{"+exportTo+" ", 1)
		return shared.Client.Create(t.Context(), entry(t, "v1", other, "api", spec), client.DryRunAll)
	}
	exported := `exportTo: [".", ` + marketing + `],`
	eventually(t, func() bool { err = create("evil.clients.test", exported); return err != nil }, "the namespace is known")
	assert.Equal(t, int32(403), code(err))
	assert.Equal(t, `admission webhook "validate.egress-governor.io" denied the request: clients: spec.hosts[0]: host "evil.clients.test" is not allowed in namespace "`+marketing+`", to which this entry is exported (allowed-hosts).
Fix: set exportTo: ["."], or ask the platform team to add it to this EgressPolicy, or use one of: ok.clients.test
Docs: https://github.com/egress-governor/egress-governor/blob/main/docs/codes/host-not-allowed.md`, err.Error())
	require.NoError(t, create("ok.clients.test", exported))
	require.NoError(t, create("evil.clients.test", `exportTo: ["."],`))
	require.NoError(t, create("evil.clients.test", ""), "with several gateways an entry is its own namespace's")

	relabelled := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: marketing}}
	require.NoError(t, shared.Client.Patch(t.Context(), relabelled, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"test":null}}}`))))
	eventually(t, func() bool { return create("evil.clients.test", exported) == nil }, "the policy does not select the namespace any more")
}

func TestBadPolicyIsRefusedWithItsLine(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ spec, want string }{
		"impure":    {"  rego: |\n    package x\n    deny contains \"no\" if http.send({})\n", "bad-impure.rego:2"},
		"syntax":    {"  rego: |\n    package x\n    deny contains if {\n", "bad-syntax.rego:2"},
		"empty":     {"  rego: |\n    package x\n    allow := true\n", "neither deny nor warn"},
		"boolean":   {"  rego: |\n    package x\n    deny if true\n", "bad-boolean.rego:2"},
		"unknown":   {"  policy: no-such\n", `no policy "no-such"; it has allowed-hosts, allowed-ports, `},
		"parameter": {"  policy: allowed-hosts\n  parameters: {hosts: [\"*foo.com\"]}\n", "spec.parameters.hosts[0]: '*foo.com' does not match pattern"},
		"field":     {"  rego: |\n    package x\n    deny contains \"no\" if input.obejct.spec\n", "bad-field.rego:2: rego_type_error: undefined ref: input.obejct"},
		"silent":    {"  rego: |\n    package x\n    import data.policies.lib.result\n    # METADATA\n    # title: X\n    deny contains result.of(rego.metadata.rule(), \"\", [], [])\n", "bad-silent.rego:5: the METADATA of this rule has no custom.msg"},
		"nested":    {"  policy: a/b/c\n", "must be a policy of the library, or <bundle>/<policy>"},
		"bundle":    {"  policy: acme/b\n", `no bundle "acme" is configured, nor any other`},
		"both":      {"  policy: allowed-hosts\n  rego: |\n    package x\n", "exactly one of policy and rego"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := policyFor(t, "bad-"+name, tc.spec)
			require.Error(t, err)
			assert.Contains(t, err.Error(), tc.want)
		})
	}
}

// TestAParameterThatNobodyReadsIsTold at apply, and where the policy says whether it is in force.
func TestAParameterThatNobodyReadsIsTold(t *testing.T) {
	t.Parallel()
	c, heard := warned(t)
	policy := object(t, "", `{apiVersion: egress-governor.io/v1alpha1, kind: EgressPolicy, metadata: {name: unread}, spec: {
		match: {namespaces: [unread]}, parameters: {label: a, lable: b}, rego: "package x\n\ndeny contains input.parameters.label if false\n"}}`)
	require.NoError(t, c.Create(t.Context(), policy))
	t.Cleanup(func() {
		// The test's own context is over here.
		_ = shared.Client.Delete(context.Background(), policy)
	})
	const says = "spec.parameters.lable: unread.rego never reads it; it reads label"
	assert.Contains(t, strings.Join(heard.texts, "\n"), says)
	eventually(t, func() bool {
		return strings.Contains(controlplane.ConditionOf(get(t, policy), "Ready", "message"), says)
	}, "Ready says so")
}

func TestRuntimeErrorFollowsTheEnforcement(t *testing.T) {
	t.Parallel()
	const rego = "  rego: |\n    package broken\n    deny contains \"no\" if to_number(input.name) == 1\n"
	for enforcement, wantCode := range map[string]int32{"Deny": 500, "Warn": 0, "Audit": 0} {
		t.Run(enforcement, func(t *testing.T) {
			t.Parallel()
			label := "broken-" + strings.ToLower(enforcement)
			policy, err := policyFor(t, label, "  enforcement: "+enforcement+"\n"+rego)
			require.NoError(t, err)
			c, heard := warned(t)
			err = c.Create(t.Context(), entry(t, "v1", namespace(t, map[string]string{"test": label}), "api", strings.ReplaceAll(hostSpec, "HOST", label+".example.com")))
			assert.Equal(t, wantCode, code(err), "%v", err)
			if wantCode != 0 {
				assert.Contains(t, err.Error(), label+": policy could not be evaluated")
			}
			assert.Equal(t, enforcement == "Warn", strings.Contains(strings.Join(heard.texts, ""), "could not be evaluated"))
			eventually(t, func() bool { return controlplane.ConditionOf(get(t, policy), "Failing", "status") == "True" }, "the policy says so")
		})
	}
}

func TestLibraryPoliciesJudgeBypasses(t *testing.T) {
	t.Parallel()
	ports := `ports: [{number: 443, name: tls, protocol: TLS}]`
	for policy, specs := range map[string]map[string]string{
		"honest-endpoints": {
			"an endpoint elsewhere": `{hosts: [h1.example.com],
				resolution: STATIC,
				endpoints: [{address: 203.0.113.1}],
				` + ports + `}`,
			"an address":        `{hosts: [h2.example.com], resolution: DNS, addresses: [203.0.113.1], ` + ports + `}`,
			"resolution NONE":   `{hosts: [h3.example.com], ` + ports + `}`,
			"MESH_INTERNAL lie": `{hosts: [h4.example.com], location: MESH_INTERNAL, resolution: DNS, ` + ports + `}`,
			"another name":      `{hosts: [h5.example.com], resolution: DNS, subjectAltNames: [evil.test], ` + ports + `}`,
		},
		"require-egress-gateway": {
			"MESH_INTERNAL lie": `{hosts: [r1.example.com], location: MESH_INTERNAL, resolution: DNS, ` + ports + `}`,
		},
		"canonical-hosts": {
			"upper case":   `{hosts: [C1.example.com], resolution: DNS, ` + ports + `}`,
			"trailing dot": `{hosts: [c2.example.com.], resolution: DNS, ` + ports + `}`,
		},
		"mesh-hosts": {
			"cluster domain": `{hosts: [kubernetes.default.svc.cluster.local], resolution: DNS, ` + ports + `}`,
			"short name":     `{hosts: [reviews], resolution: DNS, ` + ports + `}`,
			"Service":        `{hosts: [kubernetes.default.svc], resolution: DNS, ` + ports + `}`,
		},
	} {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			label := "library-" + policy
			_, err := policyFor(t, label, "  policy: "+policy+"\n")
			require.NoError(t, err)
			ns := namespace(t, map[string]string{"test": label})
			require.NoError(t, shared.Client.Create(t.Context(), entry(t, "v1", ns, "good", strings.ReplaceAll(hostSpec, "HOST", label+".example.com"))))
			for name, spec := range specs {
				err := shared.Client.Create(t.Context(), entry(t, "v1", ns, "bad", spec))
				require.Error(t, err, name)
				assert.Contains(t, err.Error(), "("+policy+")", name)
			}
		})
	}
}
