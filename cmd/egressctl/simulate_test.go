package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/egress-governor/egress-governor/internal/manifest"
	"github.com/egress-governor/egress-governor/internal/report"
)

// suspending is the policy of testdata/owned, denying.
func suspending(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "owned.yaml")
	text := strings.ReplaceAll(content(t, "testdata/owned/owned.yaml"), "enforcement: Audit", "enforcement: Deny\n  existing: Suspend")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

func TestSimulationsSayWhatIsNewlyDenied(t *testing.T) {
	t.Parallel()
	file := suspending(t)
	args := []string{"simulate", "-p", file, "--prune", "--cluster", "testdata/cluster.yaml", "--cluster", "testdata/stored.yaml", "--cluster", "testdata/evil.yaml"}
	code, out, errs := run(t, "", args...)
	require.Equal(t, violations, code, errs)
	assert.Empty(t, errs)
	for _, want := range []string{
		"payments    api.stripe.com   ServiceEntry evil     allowed → denied\n  owned: spec.hosts[0]: host \"api.stripe.com\" has nobody who answers for it.\n  Fix: add the label \"owner\"\n",
		"payments    api.stripe.com   ServiceEntry stripe   allowed → denied\n",
		"ServiceEntry payments/stripe would be suspended: owned: spec.hosts[0]: host",
		"2 stored objects, of their hosts: 2 newly denied; exits: 1 suspended, 0 restored\n",
	} {
		assert.Contains(t, out, want)
	}
	// It is denied already.
	assert.NotContains(t, out, "evil.io")

	code, out, errs = run(t, "", append(args, "-o", "json")...)
	require.Equal(t, violations, code, errs)
	var got report.Simulation
	require.NoError(t, json.Unmarshal([]byte(out), &got))
	assert.Equal(t, []report.ChangedPolicy{{Name: "owned", Change: "added"}, {Name: "payments-hosts", Change: "removed"}}, got.Policies)
	require.Len(t, got.Namespaces, 1)
	require.Len(t, got.Namespaces[0].Hosts, 1)
	assert.Len(t, got.Namespaces[0].Hosts[0].Objects, 2)
	assert.Equal(t, 2, got.Summary.Changes["newly-denied"])
	assert.Equal(t, "suspended", got.Exits[0].Change)
	_, out, _ = run(t, "", append(args, "-o", "yaml")...)
	assert.Contains(t, out, "kind: Simulation\n")

	code, out, errs = run(t, "", "simulate", "-p", "testdata/policies", "--cluster", "testdata/stored.yaml")
	assert.Equal(t, clean, code, errs)
	assert.Equal(t, "1 stored object, of their hosts: nothing changes\n", out)
}

func TestWhatCannotBeSimulated(t *testing.T) {
	t.Parallel()
	broken := filepath.Join(t.TempDir(), "broken.yaml")
	require.NoError(t, os.WriteFile(broken, []byte("apiVersion: egress-governor.io/v1alpha1\nkind: EgressPolicy\nmetadata: {name: p}\nspec: {policy: none}\n"), 0o600))
	empty := filepath.Join(t.TempDir(), "empty.yaml")
	require.NoError(t, os.WriteFile(empty, []byte("---\n"), 0o600))
	for line, want := range map[string]string{
		"simulate --cluster testdata/stored.yaml":                                         `required flag(s) "policies" not set`,
		"simulate -p testdata/policies":                                                   "at least one of the flags in the group [cluster kubeconfig context] is required",
		"simulate -p testdata/policies --cluster testdata/stored.yaml -o xml":             "--output must be json or table or yaml",
		"simulate -p testdata/entry.yaml --cluster testdata/stored.yaml":                  "Namespace payments is not an EgressPolicy",
		"simulate -p " + empty + " --cluster testdata/stored.yaml":                        "there are no EgressPolicies in " + empty,
		"simulate -p testdata/policies --cluster " + empty:                                "there are no stored objects",
		"simulate -p " + broken + " --cluster testdata/stored.yaml":                       broken + `:1: EgressPolicy p: spec.policy: the library has no policy "none"`,
		"simulate -p testdata/policies --cluster testdata/stored.yaml --config " + broken: "configuration: ",
	} {
		code, out, errs := run(t, "", strings.Fields(line)...)
		assert.Equal(t, failed, code, line)
		assert.Contains(t, errs, want, line)
		assert.Empty(t, out, line)
	}
}

// TestSimulationsOfAClusterReadWhatItHolds.
func TestSimulationsOfAClusterReadWhatItHolds(t *testing.T) {
	t.Parallel()
	code, out, errs := run(t, "", "simulate", "-p", suspending(t), "--config", "../../internal/config/installed.yaml", "--kubeconfig", apiServer(t, nil))
	assert.Equal(t, violations, code, errs)
	assert.Contains(t, out, "shop        stored.example.com   ServiceEntry stored   allowed → denied\n")
	code, _, errs = run(t, "", "simulate", "-p", suspending(t), "--kubeconfig", apiServer(t, nil))
	assert.Equal(t, failed, code)
	assert.Contains(t, errs, "the cluster has no ConfigMap of egress-governor")
}

// TestAllKindsThatPoliciesMayJudgeAreRead, each in one of its versions.
func TestAllKindsThatPoliciesMayJudgeAreRead(t *testing.T) {
	t.Parallel()
	kinds := map[schema.GroupVersionResource]string{}
	for _, resource := range append(append([]schema.GroupVersionResource{}, read...), judged...) {
		kinds[resource] = "List"
	}
	client := fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), kinds)
	asked := map[string]int{}
	client.PrependReactor("list", "tlsroutes", func(action clienttesting.Action) (bool, runtime.Object, error) {
		version := action.GetResource().Version
		asked[version]++
		if version == "v1" {
			return true, nil, apierrors.NewNotFound(schema.GroupResource{Resource: "tlsroutes"}, "")
		}
		return false, nil, nil
	})
	objects, err := manifest.Parse("x", []byte("apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata: {name: a, namespace: b}\n"))
	require.NoError(t, err)
	require.NoError(t, client.Tracker().Add(objects[0].Unstructured))
	out, err := list(t.Context(), client, "cluster", judged)
	require.NoError(t, err)
	assert.Len(t, out, 1)
	assert.Equal(t, map[string]int{"v1": 1, "v1alpha3": 1}, asked)
}
