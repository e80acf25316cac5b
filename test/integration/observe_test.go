package integration

import (
	"context"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

var observed = map[string]string{"egress-governor.io/mode": "Observe"}

// TestWhatIsObservedIsToldOf, and neither changed nor refused; once the namespace is governed it is both.
func TestWhatIsObservedIsToldOf(t *testing.T) {
	t.Parallel()
	ns := namespace(t, labelled(observed, "observed"))
	evil := entry(t, "v1", ns, "evil", strings.ReplaceAll(hostSpec, "HOST", "evil.observed.test"))
	good := entry(t, "v1", ns, "good", strings.ReplaceAll(hostSpec, "HOST", "ok.observed.test"))
	written := good.DeepCopy()
	require.NoError(t, shared.Client.Create(t.Context(), evil))
	require.NoError(t, shared.Client.Create(t.Context(), good))
	assert.Equal(t, written.Object["spec"], get(t, good).Object["spec"], "as it was written")

	policy, err := policyFor(t, "observed", "  enforcement: Deny\n  policy: allowed-hosts\n  parameters: {hosts: [ok.observed.test]}\n")
	require.NoError(t, err)
	eventually(t, func() bool { return violations(t, policy) == 1 }, "the violation is counted")
	eventually(t, func() bool { return len(eventsAbout(t, ns, "evil")) == 1 }, "an Event")
	assert.Contains(t, eventsAbout(t, ns, "evil")[0], `HostNotAllowed: if its namespace were governed: observed: spec.hosts[0]: host "evil.observed.test" is not allowed`)
	assert.Empty(t, eventsAbout(t, ns, "good"))
	assert.Regexp(t, `(?m)^egress_governor_observed_objects\{verdict="denied"\} [1-9]`, metrics(t))

	patch(t, &corev1.Namespace{ObjectMeta: named("", ns)}, `{"metadata":{"labels":{"egress-governor.io/mode":null}}}`)
	again := evil.DeepCopy()
	again.SetName("again")
	again.SetResourceVersion("")
	eventually(t, func() bool {
		err = shared.Client.Create(t.Context(), again.DeepCopy(), client.DryRunAll)
		return err != nil
	}, "it is governed")
	assert.Contains(t, err.Error(), `host "evil.observed.test" is not allowed`)
	patch(t, good, `{"metadata":{"labels":{"again":"yes"}}}`)
	eventually(t, func() bool { return ready(get(t, good), "True") }, "it is sealed")

	patch(t, &corev1.Namespace{ObjectMeta: named("", ns)}, `{"metadata":{"labels":{"egress-governor.io/mode":"Observe"}}}`)
	eventually(t, func() bool { return shared.Client.Create(t.Context(), again.DeepCopy(), client.DryRunAll) == nil }, "it is observed")
	assert.True(t, ready(get(t, good), "True"))
	assert.True(t, exitOf(t, "ok.observed.test"), "what is sealed keeps its exit")
}

// TestAReleaseThatObserves: by `mode: Observe` of the chart what would be denied, refused or sealed is stored as it was written, and told of;
// a namespace that is labelled is governed. It is not parallel: the webhook runs under other values.
func TestAReleaseThatObserves(t *testing.T) {
	ns := namespace(t, labelled(nil, "observing"))
	restart := func(ctx context.Context, mode, label string) {
		require.NoError(t, shared.StopWebhook())
		values := gateways()
		values["mode"] = mode
		shared.Configure(values)
		of := &corev1.Namespace{ObjectMeta: named("", metav1.NamespaceDefault)}
		require.NoError(t, shared.Client.Patch(ctx, of, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"egress-governor.io/mode":`+label+`}}}`))))
		require.NoError(t, shared.StartWebhook(ctx))
	}
	t.Cleanup(func() { restart(context.WithoutCancel(t.Context()), "Enforce", "null") })
	// It returns once the API server asks about the one that is labelled.
	restart(t.Context(), "Observe", `"Enforce"`)

	const raw = "{hosts: [raw.observing.test], resolution: DNS, ports: [{number: 5432, name: tcp, protocol: TCP}]}"
	c, heard := warned(t)
	for name, spec := range map[string]string{
		"denied": strings.ReplaceAll(hostSpec, "HOST", "evil.observing.test"), "refused": raw, "sealable": strings.ReplaceAll(hostSpec, "HOST", "ok.observing.test"),
	} {
		in := entry(t, "v1", ns, name, spec)
		written := in.DeepCopy()
		require.NoError(t, c.Create(t.Context(), in), name)
		assert.Equal(t, written.Object["spec"], get(t, in).Object["spec"], "%s: as it was written", name)
	}
	assert.Empty(t, heard.texts)
	// It has everything looked at, which is by the minute otherwise.
	policy, err := policyFor(t, "observing", "  enforcement: Deny\n  policy: allowed-hosts\n  parameters: {hosts: [ok.observing.test, raw.observing.test]}\n")
	require.NoError(t, err)
	for name, want := range map[string]string{
		"denied":  `HostNotAllowed: if its namespace were governed: observing: spec.hosts[0]: host "evil.observing.test" is not allowed`,
		"refused": "RawProtocol: if its namespace were governed: ",
	} {
		eventually(t, func() bool { return len(eventsAbout(t, ns, name)) == 1 }, name)
		assert.Contains(t, eventsAbout(t, ns, name)[0], want)
	}
	eventually(t, func() bool { return violations(t, policy) == 1 }, "the violation is counted")
	for _, verdict := range []string{"denied", "refused", "allowed"} {
		assert.Regexp(t, `(?m)^egress_governor_observed_objects\{verdict="`+verdict+`"\} [1-9]`, metrics(t))
	}
	assert.Empty(t, eventsAbout(t, ns, "sealable"))
	assert.False(t, exitOf(t, "ok.observing.test"))
	_, said := adoption(t, "adopt", "-n", ns)
	assert.Contains(t, said, "1 entry to seal", "what would be sealed, egressctl says")
	assert.Contains(t, said, "2 left as they are")
}

// TestGuardsOfObservedNamespacesOnlyCount: they refuse nobody there and warn nobody, and the API server tells how often they would have.
func TestGuardsOfObservedNamespacesOnlyCount(t *testing.T) {
	guarded(t)
	c, heard := author(t)
	service := "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {type: ExternalName, externalName: api.example.com}"
	caught(t, c.Create(t.Context(), object(t, namespace(t, nil), service), client.DryRunAll), "external-names", "spec.externalName")
	ns := namespace(t, observed)
	api, err := kubernetes.NewForConfig(shared.Config)
	require.NoError(t, err)
	counted := func() string {
		raw, err := api.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(t.Context())
		require.NoError(t, err)
		return regexp.MustCompile(`(?m)^apiserver_validating_admission_policy_check_total\{enforcement_action="audit",.*external-names-audit.*$`).FindString(string(raw))
	}
	before := counted()
	eventually(t, func() bool {
		require.NoError(t, c.Create(t.Context(), object(t, ns, service), client.DryRunAll))
		return counted() != before
	}, "the API server counts it")
	assert.Empty(t, heard.texts)

	in := &corev1.Namespace{}
	require.NoError(t, shared.Client.Get(t.Context(), types.NamespacedName{Name: ns}, in))
	in.Labels["istio.io/dataplane-mode"] = "ambient"
	require.NoError(t, c.Update(t.Context(), in.DeepCopy(), client.DryRunAll), "it stays observed")
	exempt := in.DeepCopy()
	exempt.Labels["egress-governor.io/exempt-pods"] = "true"
	labelRefused(t, c.Update(t.Context(), exempt, client.DryRunAll), "metadata.labels[egress-governor.io/exempt-pods]: ")
	delete(in.Labels, "egress-governor.io/mode")
	labelRefused(t, c.Update(t.Context(), in.DeepCopy(), client.DryRunAll), "metadata.labels[istio.io/dataplane-mode]: ")
}
