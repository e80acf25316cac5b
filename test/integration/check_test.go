package integration

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// checked is what egressctl check -o json says.
type checked struct {
	Errors, Warnings int
	Checks           []struct {
		Name, Status string
		Findings     []struct{ Code, Severity, Object, Message, Fix string }
		NotLookedAt  []string
	}
}

// check runs it, and returns its exit code and what it says.
func check(t *testing.T, args ...string) (code int, out checked) {
	t.Helper()
	code, raw := egressctl(t, append([]string{"check", "-o", "json"}, args...)...)
	require.NoError(t, json.Unmarshal([]byte(raw), &out), raw)
	return code, out
}

// of returns the codes of what a check found, of a part of an object's name, and its status.
func (c checked) of(name, object string) (codes []string, status string) {
	for _, check := range c.Checks {
		if check.Name != name {
			continue
		}
		for _, finding := range check.Findings {
			if strings.Contains(finding.Object+finding.Message, object) && !slices.Contains(codes, finding.Code) {
				codes = append(codes, finding.Code)
			}
		}
		return codes, check.Status
	}
	return nil, ""
}

// TestCheckOfAnInstallation: what the chart and the webhook made of a real API server is sound as far as it can be without nodes, and of
// what somebody breaks each is told. It is not parallel.
func TestCheckOfAnInstallation(t *testing.T) {
	guarded(t)
	restored(t)
	ns := namespace(t, injected)
	code, found := check(t)
	assert.Equal(t, 1, code, "there is no Deployment here")
	for _, name := range []string{"configuration", "kinds", "webhooks", "admission", "suspended"} {
		codes, status := found.of(name, "")
		assert.Equal(t, "ok", status, "%s: %v %v", name, codes, found)
	}
	codes, status := found.of("guards", "")
	assert.Empty(t, codes, status)
	codes, _ = found.of("release", "")
	assert.Contains(t, codes, "release-missing")
	_, status = found.of("certificate", "")
	assert.Equal(t, "unknown", status, "no Deployment says which Secret is served")
	_, status = found.of("proxies", "")
	assert.Equal(t, "unknown", status, "no istiod runs here")

	t.Run("an entry past the webhook", func(t *testing.T) {
		code, out := egressctl(t, "stop")
		require.Zero(t, code, out)
		c, _ := author(t)
		before := entry(t, "v1", ns, "before", strings.ReplaceAll(ungoverned["no endpoints"], "HOST", "before.check.test"))
		eventually(t, func() bool {
			dry := before.DeepCopy()
			return c.Create(t.Context(), dry, client.DryRunAll) == nil && len(dry.GetAnnotations()) == 0
		}, "stopped")
		require.NoError(t, c.Create(t.Context(), before))
		_, found := check(t)
		codes, _ := found.of("webhooks", "")
		assert.Equal(t, []string{"admission-stopped"}, codes)
		codes, _ = found.of("admission", "")
		assert.Equal(t, []string{"webhook-not-asked"}, codes)
		code, out = egressctl(t, "start")
		require.Zero(t, code, out)
		_, found = check(t)
		codes, _ = found.of("ungoverned", ns+"/before")
		assert.Equal(t, []string{"unsealed-entry"}, codes)
		codes, _ = found.of("webhooks", "")
		assert.Empty(t, codes)
		require.NoError(t, c.Delete(t.Context(), before))
	})
	t.Run("somebody's rights", func(t *testing.T) {
		grant(t, shared, "check-rights", rbacv1.PolicyRule{APIGroups: []string{"admissionregistration.k8s.io"}, Resources: []string{"validatingwebhookconfigurations"}, Verbs: []string{"patch"}})
		_, found := check(t)
		codes, _ := found.of("rights", "Group check-rights")
		assert.Equal(t, []string{"admission-writable"}, codes)
	})
	t.Run("guards", func(t *testing.T) {
		binding := &admissionregistrationv1.ValidatingAdmissionPolicyBinding{ObjectMeta: named("", "egress-governor-host-network")}
		require.NoError(t, shared.Client.Delete(t.Context(), binding))
		_, found := check(t)
		codes, _ := found.of("guards", "egress-governor-host-network")
		assert.Equal(t, []string{"guard-unbound"}, codes)
	})
	t.Run("failurePolicy Ignore, and the webhook down", func(t *testing.T) {
		ignore := client.RawPatch(types.JSONPatchType, []byte(`[{"op":"replace","path":"/webhooks/0/failurePolicy","value":"Ignore"}]`))
		require.NoError(t, shared.Client.Patch(t.Context(), configurations()[0], ignore))
		require.NoError(t, shared.StopWebhook())
		_, found := check(t)
		codes, _ := found.of("webhooks", "")
		assert.Equal(t, []string{"webhook-ignores-failure"}, codes)
		codes, _ = found.of("admission", "")
		assert.Contains(t, codes, "webhook-unreachable")
	})
	t.Run("no configurations", func(t *testing.T) {
		for _, configuration := range configurations() {
			require.NoError(t, shared.Client.Delete(t.Context(), configuration))
		}
		_, found := check(t)
		codes, _ := found.of("webhooks", "")
		assert.Equal(t, []string{"webhook-missing"}, codes)
	})
}

// TestCheckWithoutRightsNamesThem, and takes nothing for sound that it could not look at.
func TestCheckWithoutRightsNamesThem(t *testing.T) {
	t.Parallel()
	config := filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, shared.KubeconfigOf("tenant", config))
	code, out := egressctl(t, "check", "-o", "json", "--kubeconfig", config)
	assert.Equal(t, 2, code, out)
	var found checked
	require.NoError(t, json.Unmarshal([]byte(out), &found), out)
	for _, check := range found.Checks {
		assert.NotEqual(t, "ok", check.Status, check.Name)
		assert.NotEmpty(t, append(check.NotLookedAt, codesOf(check.Findings)...), check.Name)
	}
	assert.Contains(t, out, `cannot list resource \"validatingwebhookconfigurations\"`)
	code, out = egressctl(t, "stop", "--kubeconfig", config)
	assert.Equal(t, 2, code, out)
	assert.Contains(t, out, "mutatingwebhookconfigurations are as they were")
}

func codesOf(findings []struct{ Code, Severity, Object, Message, Fix string }) (out []string) {
	for _, finding := range findings {
		out = append(out, finding.Code)
	}
	return out
}
