package integration

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/test/controlplane"
)

var throughVault = map[string]string{"egress": "vault"}

// labelled returns labels with one that a policy of the test selects by.
func labelled(with map[string]string, test string) map[string]string {
	out := map[string]string{"test": test}
	for key, value := range with {
		out[key] = value
	}
	return out
}

// applied stores an entry and waits for its exit.
func applied(t *testing.T, namespace, name, host string) *unstructured.Unstructured {
	t.Helper()
	in := entry(t, "v1", namespace, name, strings.ReplaceAll(hostSpec, "HOST", host))
	require.NoError(t, shared.Client.Create(t.Context(), in))
	eventually(t, func() bool { return ready(get(t, in), "True") }, "ExitReady")
	return in
}

// exitCondition is the reason and the message of an entry's ExitReady.
func exitCondition(t *testing.T, of *unstructured.Unstructured) (reason, message string) {
	t.Helper()
	return controlplane.ConditionOf(get(t, of), "ExitReady", "reason"), controlplane.ConditionOf(get(t, of), "ExitReady", "message")
}

func violations(t *testing.T, policy *unstructured.Unstructured) int64 {
	t.Helper()
	out, known, _ := unstructured.NestedInt64(get(t, policy).Object, "status", "violations")
	if !known {
		return -1
	}
	return out
}

// eventsAbout are the notes of the audit's Events about an object, with their reasons.
func eventsAbout(t *testing.T, namespace, name string) (out []string) {
	t.Helper()
	var list eventsv1.EventList
	require.NoError(t, shared.Client.List(t.Context(), &list, client.InNamespace(namespace)))
	for _, event := range list.Items {
		if event.Regarding.Name == name && event.Action == "Audit" {
			out = append(out, event.Reason+": "+event.Note)
		}
	}
	return out
}

func patch(t *testing.T, object client.Object, body string) {
	t.Helper()
	require.NoError(t, shared.Client.Patch(t.Context(), object.DeepCopyObject().(client.Object), client.RawPatch(types.MergePatchType, []byte(body))))
}

// TestWhatWasStoredBeforeThePolicyIsFound, counted and told of, and nothing is taken away.
func TestWhatWasStoredBeforeThePolicyIsFound(t *testing.T) {
	t.Parallel()
	ns := namespace(t, labelled(nil, "audit-report"))
	applied(t, ns, "good", "ok.audit-report.test")
	bad := applied(t, ns, "bad", "evil.audit-report.test")
	policy, err := policyFor(t, "audit-report", "  enforcement: Deny\n  policy: allowed-hosts\n  parameters: {hosts: [ok.audit-report.test]}\n")
	require.NoError(t, err)
	eventually(t, func() bool { return violations(t, policy) == 1 }, "the violation is counted")
	eventually(t, func() bool { return len(eventsAbout(t, ns, "bad")) == 1 }, "an Event")
	assert.Contains(t, eventsAbout(t, ns, "bad")[0], `HostNotAllowed: audit-report: spec.hosts[0]: host "evil.audit-report.test" is not allowed in namespace "`+ns+`" (allowed-hosts). Fix: `)
	assert.Empty(t, eventsAbout(t, ns, "good"))
	assert.True(t, ready(get(t, bad), "True"), "it is told of alone")
	assert.Regexp(t, `(?m)^egress_governor_violations\{enforcement="Deny",policy="audit-report"\} 1$`, metrics(t))
	assert.Regexp(t, `(?m)^egress_governor_audit_age_seconds \d`, metrics(t))

	patch(t, policy, `{"spec":{"parameters":{"hosts":["*.audit-report.test"]}}}`)
	eventually(t, func() bool { return violations(t, policy) == 0 }, "nothing violates it any more")
}

func metrics(t *testing.T) string {
	t.Helper()
	out, err := shared.Scrape(t.Context())
	require.NoError(t, err)
	return out
}

// TestALabelHasEverythingJudgedAgain: what a policy selects is other than before.
func TestALabelHasEverythingJudgedAgain(t *testing.T) {
	t.Parallel()
	policy, err := policyFor(t, "audit-label", "  policy: allowed-hosts\n  parameters: {hosts: []}\n")
	require.NoError(t, err)
	ns := namespace(t, nil)
	applied(t, ns, "api", "audit-label.test")
	eventually(t, func() bool { return violations(t, policy) == 0 }, "it is not selected")
	patch(t, &corev1.Namespace{ObjectMeta: named("", ns)}, `{"metadata":{"labels":{"test":"audit-label"}}}`)
	eventually(t, func() bool { return violations(t, policy) == 1 }, "it is selected")
}

// TestWhatAPolicyAsksForIsFoundThoughItWasThereBefore: kinds that are evaluated and nothing else.
func TestWhatAPolicyAsksForIsFoundThoughItWasThereBefore(t *testing.T) {
	t.Parallel()
	ns := namespace(t, map[string]string{"egress-governor.io/exempt": "true"})
	before := map[string]string{
		"sidecar": "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: sidecar}\nspec: {outboundTrafficPolicy: {mode: ALLOW_ANY}}",
		"filter":  "apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata: {name: filter}\nspec: {}",
		"plugin":  "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {name: plugin}\nspec: {url: 'oci://evil.example.com/plugin'}",
		"outside": "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: outside}\nspec: {address: 203.0.113.7}",
	}
	for _, manifest := range before {
		require.NoError(t, shared.Client.Create(t.Context(), object(t, ns, manifest)))
	}
	patch(t, &corev1.Namespace{ObjectMeta: named("", ns)}, `{"metadata":{"labels":{"egress-governor.io/exempt":null}}}`)
	for name, of := range map[string]string{"sidecar": "baseline-sidecar-outbound", "filter": "baseline-envoy-extensions", "plugin": "baseline-envoy-extensions", "outside": "baseline-workload-entries"} {
		require.Eventually(t, func() bool { return strings.Contains(strings.Join(eventsAbout(t, ns, name), "\n"), of) }, 3*within, 100*time.Millisecond, name)
		policy := object(t, "", "apiVersion: egress-governor.io/v1alpha1\nkind: EgressPolicy\nmetadata: {name: "+of+"}")
		eventually(t, func() bool { return violations(t, policy) > 0 }, of)
	}
}

// TestAnEntryPastTheWebhookIsNamed: stored where nobody was asked.
func TestAnEntryPastTheWebhookIsNamed(t *testing.T) {
	t.Parallel()
	ns := namespace(t, map[string]string{"egress-governor.io/exempt": "true"})
	in := entry(t, "v1", ns, "before", strings.ReplaceAll(hostSpec, "HOST", ns+".unsealed.test"))
	require.NoError(t, shared.Client.Create(t.Context(), in))
	patch(t, &corev1.Namespace{ObjectMeta: named("", ns)}, `{"metadata":{"labels":{"egress-governor.io/exempt":null}}}`)
	eventually(t, func() bool { return len(eventsAbout(t, ns, "before")) > 0 }, "an Event")
	assert.Contains(t, strings.Join(eventsAbout(t, ns, "before"), "\n"), "UnsealedEntry: egress-governor: spec.endpoints: the entry is not sealed")
	assert.Regexp(t, `(?m)^egress_governor_unsealed_entries [1-9]`, metrics(t))
	patch(t, in, `{"metadata":{"labels":{"again":"yes"}}}`)
	eventually(t, func() bool { return ready(get(t, in), "True") }, "it is sealed")
}

// TestSuspendClosesTheExit within seconds, says why, and gives it back.
func TestSuspendClosesTheExit(t *testing.T) {
	t.Parallel()
	for label, with := range map[string]map[string]string{"suspend-plain": nil, "suspend-mutual": throughVault} {
		t.Run(label, func(t *testing.T) {
			t.Parallel()
			ns, other := namespace(t, labelled(with, label)), namespace(t, with)
			for _, name := range []string{ns, other} {
				require.NoError(t, shared.Client.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: named(name, "default")}))
			}
			at := controlplane.GatewayNamespace
			if with != nil {
				at = vaultNamespace
			}
			own, both := applied(t, ns, "own", "own."+label+".test"), applied(t, ns, "shared", "shared."+label+".test")
			theirs := applied(t, other, "shared", "shared."+label+".test")
			policy, err := policyFor(t, label, "  existing: Suspend\n  policy: allowed-hosts\n  parameters: {hosts: [elsewhere.test]}\n")
			require.NoError(t, err)
			for _, of := range []*unstructured.Unstructured{own, both} {
				eventually(t, func() bool { reason, _ := exitCondition(t, of); return reason == "Suspended" }, "it is suspended")
				_, message := exitCondition(t, of)
				assert.Contains(t, message, label+`: spec.hosts[0]: host "`)
				assert.True(t, ready(get(t, of), "False"))
			}
			eventually(t, func() bool { return len(exitObjects(t, at, "own."+label+".test")) == 0 }, "its exit goes")
			assert.True(t, ready(get(t, theirs), "True"), "another's entry of the host keeps its own")
			if with != nil {
				eventually(t, func() bool { return !calls(t, at, "shared."+label+".test", ns) }, "its callers are nobody's there")
				assert.True(t, calls(t, at, "shared."+label+".test", other))
			}
			require.NotEmpty(t, exitObjects(t, at, "shared."+label+".test"))

			patch(t, policy, `{"spec":{"parameters":{"hosts":["*.`+label+`.test"]}}}`)
			for _, of := range []*unstructured.Unstructured{own, both} {
				eventually(t, func() bool { return ready(get(t, of), "True") }, "it is back")
			}
			assert.NotEmpty(t, exitObjects(t, at, "own."+label+".test"))
			if with != nil {
				assert.True(t, calls(t, at, "shared."+label+".test", ns))
			}
		})
	}
}

// TestASuspendedClientIsTurnedAwayByHTTP: the expression that lets its service accounts in is gone from the exit's routes.
func TestASuspendedClientIsTurnedAwayByHTTP(t *testing.T) {
	t.Parallel()
	const label, host = "suspend-http", "shared.suspend-http.test"
	ns, other := namespace(t, labelled(throughVault, label)), namespace(t, throughVault)
	var own *unstructured.Unstructured
	for _, name := range []string{other, ns} {
		own = entry(t, "v1", name, "shared", `{hosts: [`+host+`], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]}`)
		require.NoError(t, shared.Client.Create(t.Context(), own))
		eventually(t, func() bool { return ready(get(t, own), "True") }, "ExitReady")
	}
	lets := func(namespace string) bool {
		return slices.ContainsFunc(exitObjects(t, vaultNamespace, host), func(of *unstructured.Unstructured) bool {
			return strings.Contains(fmt.Sprint(of.Object["spec"]), namespace+"/sa/")
		})
	}
	require.True(t, lets(ns))
	_, err := policyFor(t, label, "  existing: Suspend\n  policy: allowed-hosts\n  parameters: {hosts: []}\n")
	require.NoError(t, err)
	eventually(t, func() bool { return !lets(ns) }, "it is turned away")
	assert.True(t, lets(other))
	reason, _ := exitCondition(t, own)
	assert.Equal(t, "Suspended", reason)
}

func exitObjects(t *testing.T, namespace, host string) []*unstructured.Unstructured {
	t.Helper()
	out, err := controlplane.ExitSet(t.Context(), shared.Client, namespace, host)
	require.NoError(t, err)
	return out
}

// calls says whether an exit at a gateway by mutual TLS names callers of a namespace.
func calls(t *testing.T, at, host, namespace string) bool {
	t.Helper()
	for _, door := range stored(t, "Gateway", at) {
		if door.GetAnnotations()["egress-governor.io/host"] == host {
			return strings.Contains(fmt.Sprint(door.Object["spec"]), "/ns/"+namespace+"/sa/")
		}
	}
	return false
}

// TestASuspendedHostIsHeldAgainstOthers: nobody defines it otherwise meanwhile.
func TestASuspendedHostIsHeldAgainstOthers(t *testing.T) {
	t.Parallel()
	ns := namespace(t, labelled(nil, "suspend-place"))
	own := applied(t, ns, "own", "suspend-place.test")
	_, err := policyFor(t, "suspend-place", "  existing: Suspend\n  policy: allowed-hosts\n  parameters: {hosts: []}\n")
	require.NoError(t, err)
	eventually(t, func() bool { reason, _ := exitCondition(t, own); return reason == "Suspended" }, "it is suspended")
	other := entry(t, "v1", namespace(t, nil), "other", `{hosts: [suspend-place.test], resolution: STATIC, endpoints: [{address: 203.0.113.9}], ports: [{number: 443, name: tls, protocol: TLS}]}`)
	err = shared.Client.Create(t.Context(), other)
	require.Error(t, err)
	assert.Contains(t, err.Error(), "host-conflict")
}

// TestSuspendNeedsDeny, and the answer names the field.
func TestSuspendNeedsDeny(t *testing.T) {
	t.Parallel()
	for _, enforcement := range []string{"Warn", "Audit"} {
		_, err := policyFor(t, "suspend-"+strings.ToLower(enforcement), "  enforcement: "+enforcement+"\n  existing: Suspend\n  policy: canonical-hosts\n")
		require.Error(t, err)
		assert.Contains(t, err.Error(), "spec.existing: Invalid value")
		assert.Contains(t, err.Error(), "Suspend needs enforcement Deny")
	}
}

// TestAMistypedPolicyCutsNobodyOff until somebody says that it is meant.
func TestAMistypedPolicyCutsNobodyOff(t *testing.T) {
	t.Parallel()
	ns := namespace(t, labelled(nil, "suspend-many"))
	var entries []*unstructured.Unstructured
	for i := range 8 {
		entries = append(entries, applied(t, ns, fmt.Sprintf("e%d", i), fmt.Sprintf("e%d.suspend-many.test", i)))
	}
	policy, err := policyFor(t, "suspend-many", "  existing: Suspend\n  policy: allowed-hosts\n  parameters: {hosts: [\"*.suspend-mony.test\"]}\n")
	require.NoError(t, err)
	eventually(t, func() bool { return controlplane.ConditionOf(get(t, policy), "SuspendHeld", "status") == "True" }, "it is held")
	assert.Contains(t, controlplane.ConditionOf(get(t, policy), "SuspendHeld", "message"), "would suspend 8 exits at once")
	assert.Equal(t, int64(8), violations(t, policy))
	assert.Regexp(t, `(?m)^egress_governor_suspend_held\{policy="suspend-many"\} 8$`, metrics(t))
	for _, of := range entries {
		assert.True(t, ready(get(t, of), "True"))
	}
	patch(t, policy, fmt.Sprintf(`{"metadata":{"annotations":{"egress-governor.io/confirm-suspend":"%d"}}}`, get(t, policy).GetGeneration()))
	eventually(t, func() bool {
		return !slices.ContainsFunc(entries, func(of *unstructured.Unstructured) bool {
			reason, _ := exitCondition(t, of)
			return reason != "Suspended"
		})
	}, "it is let through")
	eventually(t, func() bool { return controlplane.ConditionOf(get(t, policy), "SuspendHeld", "status") == "False" }, "nothing is held any more")
}

// TestSuspensionOutlivesTheLeader: nobody has an exit back for a moment. It is not parallel, since the webhook is restarted.
func TestSuspensionOutlivesTheLeader(t *testing.T) {
	ns := namespace(t, labelled(nil, "suspend-restart"))
	in := applied(t, ns, "api", "suspend-restart.test")
	_, err := policyFor(t, "suspend-restart", "  existing: Suspend\n  policy: allowed-hosts\n  parameters: {hosts: []}\n")
	require.NoError(t, err)
	// Before the policy goes, and the exit would come back among what other tests count.
	t.Cleanup(func() { require.NoError(t, shared.Client.Delete(context.WithoutCancel(t.Context()), in)) })
	eventually(t, func() bool { reason, _ := exitCondition(t, in); return reason == "Suspended" }, "it is suspended")
	eventually(t, func() bool { return len(exitObjects(t, controlplane.GatewayNamespace, "suspend-restart.test")) == 0 }, "its exit goes")
	require.NoError(t, shared.StopWebhook())
	// The controllers of exits are there long before it is judged.
	slowly := gateways()
	slowly["audit"] = map[string]any{"objectsPerSecond": 1}
	shared.Configure(slowly)
	watching, err := client.NewWithWatch(shared.Config, client.Options{Scheme: shared.Client.Scheme()})
	require.NoError(t, err)
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(in.GroupVersionKind())
	list.SetKind("ServiceEntryList")
	watch, err := watching.Watch(t.Context(), list, client.InNamespace(controlplane.GatewayNamespace))
	require.NoError(t, err)
	back := make(chan []string, 1)
	go func() {
		var seen []string
		for event := range watch.ResultChan() {
			if object, is := event.Object.(client.Object); is {
				seen = append(seen, object.GetAnnotations()["egress-governor.io/host"])
			}
		}
		back <- seen
	}()
	require.NoError(t, shared.StartWebhook(t.Context()))
	eventually(t, func() bool {
		return regexp.MustCompile(`(?m)^egress_governor_audit_age_seconds \d`).MatchString(metrics(t))
	}, "the new leader has judged it")
	watch.Stop()
	assert.NotContains(t, <-back, "suspend-restart.test", "its exit came back")
	reason, _ := exitCondition(t, in)
	assert.Equal(t, "Suspended", reason)
	require.NoError(t, shared.StopWebhook())
	shared.Configure(gateways())
	require.NoError(t, shared.StartWebhook(t.Context()))
}

// reportCRDs are as little of these kinds as the API server takes.
const reportCRD = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: PLURAL.GROUP}
spec:
  group: GROUP
  scope: SCOPE
  names: {kind: KIND, plural: PLURAL}
  versions: [{name: VERSION, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]`

// TestReportsAreWrittenWhereTheClusterHasThem.
func TestReportsAreWrittenWhereTheClusterHasThem(t *testing.T) {
	t.Parallel()
	kinds := []struct{ group, version, kind, plural, scope string }{
		{"wgpolicyk8s.io", "v1alpha2", "PolicyReport", "policyreports", "Namespaced"}, {"wgpolicyk8s.io", "v1alpha2", "ClusterPolicyReport", "clusterpolicyreports", "Cluster"},
		{"openreports.io", "v1alpha1", "Report", "reports", "Namespaced"}, {"openreports.io", "v1alpha1", "ClusterReport", "clusterreports", "Cluster"},
	}
	for _, of := range kinds {
		crd := object(t, "", strings.NewReplacer("GROUP", of.group, "VERSION", of.version, "KIND", of.kind, "PLURAL", of.plural, "SCOPE", of.scope).Replace(reportCRD))
		crd.SetNamespace("")
		require.NoError(t, shared.Client.Create(t.Context(), crd))
	}
	ns := namespace(t, labelled(nil, "reports"))
	in := applied(t, ns, "api", "reports.test")
	policy, err := policyFor(t, "reports", "  enforcement: Warn\n  policy: allowed-hosts\n  parameters: {hosts: []}\n")
	require.NoError(t, err)
	for _, of := range kinds {
		report := &unstructured.Unstructured{}
		report.SetAPIVersion(of.group + "/" + of.version)
		report.SetKind(of.kind)
		at := types.NamespacedName{Name: "egress-governor"}
		if of.scope == "Namespaced" {
			at.Namespace = ns
		}
		var result map[string]any
		eventually(t, func() bool {
			if shared.Client.Get(t.Context(), at, report) != nil {
				return false
			}
			results, _, _ := unstructured.NestedSlice(report.Object, "results")
			i := slices.IndexFunc(results, func(item any) bool { return item.(map[string]any)["policy"] == "reports" })
			if i < 0 {
				return false
			}
			result, _ = results[i].(map[string]any)
			return result["result"] != "pass"
		}, of.kind)
		if of.scope == "Cluster" {
			assert.Equal(t, "fail", result["result"])
			continue
		}
		assert.Equal(t, "warn", result["result"])
		assert.Equal(t, "host-not-allowed", result["rule"])
		assert.Equal(t, "api", result["resources"].([]any)[0].(map[string]any)["name"])
		warned, _, _ := unstructured.NestedInt64(report.Object, "summary", "warn")
		assert.Equal(t, int64(1), warned)
	}
	require.NoError(t, shared.Client.Delete(context.WithoutCancel(t.Context()), in))
	report := &unstructured.Unstructured{}
	report.SetAPIVersion("wgpolicyk8s.io/v1alpha2")
	report.SetKind("PolicyReport")
	eventually(t, func() bool {
		return shared.Client.Get(t.Context(), types.NamespacedName{Namespace: ns, Name: "egress-governor"}, report) != nil
	}, "a namespace without violations has no report")
	eventually(t, func() bool { return violations(t, policy) == 0 }, "what is gone does not count")
}
