// Package operated tests what an operator sees of a running webhook: its traces beside those of a real kube-apiserver, its log beside
// the audit log, and its metrics, which it leaves in .run/metrics.txt for test/alerts.
package operated

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/internal/emergency"
	"github.com/egress-governor/egress-governor/test/controlplane"
)

// within bounds every wait.
const within = 30 * time.Second

// operated is a control plane under work, and what is told of it.
type operated struct {
	*controlplane.ControlPlane
	collected *receiver
	folder    string
}

func started(t *testing.T) *operated {
	t.Helper()
	ctrl.SetLogger(logr.Discard())
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	require.NoError(t, controlplane.BuildWebhook(root))
	out := &operated{collected: received(t, root)}
	options := controlplane.InTree(root, "operated")
	options.Traces, out.folder = out.collected.grpc, options.Folder
	options.Values = values(out.collected.grpc, "grpc")
	out.ControlPlane, err = controlplane.Start(t.Context(), options)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, out.Stop()) })
	out.stopPart(t)
	return out
}

// values are the chart's: traces are sent to a receiver, by a protocol.
func values(receiver, protocol string) map[string]any {
	return map[string]any{
		"tracing":  map[string]any{"endpoint": "http://" + receiver, "protocol": protocol},
		"extraEnv": []any{map[string]any{"name": "OTEL_BSP_SCHEDULE_DELAY", "value": "200"}},
		// No more than five entries are suspended at once.
		"suspend": map[string]any{"maxShare": 0},
		"config": map[string]any{"opa": map[string]any{
			"services":      map[string]any{"nobody": map[string]any{"url": "http://127.0.0.1:1"}},
			"bundles":       map[string]any{"absent": map[string]any{"service": "nobody", "resource": "/absent.tar.gz"}},
			"decision_logs": map[string]any{"service": "nobody"},
		}},
	}
}

// stopPart has somebody stop admission, of kinds that nothing here writes; the leader that comes next tells it at once.
func (o *operated) stopPart(t *testing.T) {
	t.Helper()
	of := &unstructured.Unstructured{}
	of.SetGroupVersionKind(admissionregistrationv1.SchemeGroupVersion.WithKind("ValidatingWebhookConfiguration"))
	require.NoError(t, o.Client.Get(t.Context(), client.ObjectKey{Name: controlplane.Release}, of))
	webhooks := of.Object["webhooks"].([]any)
	part := &unstructured.Unstructured{Object: map[string]any{"webhooks": webhooks[1:2]}}
	require.Equal(t, "policies.egress-governor.io", webhooks[1].(map[string]any)["name"])
	require.True(t, emergency.Stop(part, emergency.Note{Since: "by a test"}))
	require.NoError(t, o.Client.Update(t.Context(), of))
	require.NoError(t, o.RollWebhook(t.Context()))
}

func (o *operated) object(t *testing.T, manifest string) *unstructured.Unstructured {
	t.Helper()
	objects, err := controlplane.Decode(strings.NewReader(manifest))
	require.NoError(t, err)
	require.Len(t, objects, 1)
	return objects[0]
}

// create stores an object, which must be; entry makes one of a host.
func (o *operated) create(t *testing.T, manifest string) *unstructured.Unstructured {
	t.Helper()
	out := o.object(t, manifest)
	require.NoError(t, o.Client.Create(t.Context(), out), manifest)
	return out
}

func entry(namespace, name, host string) string {
	return fmt.Sprintf("apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {namespace: %s, name: %s}\n"+
		"spec: {hosts: [%s], resolution: DNS, exportTo: [.], ports: [{number: 443, name: tls, protocol: TLS}]}", namespace, name, host)
}

func (o *operated) policy(t *testing.T, name, spec string) {
	t.Helper()
	o.create(t, "apiVersion: egress-governor.io/v1alpha1\nkind: EgressPolicy\nmetadata: {name: "+name+"}\nspec: "+spec)
}

func (o *operated) eventually(t *testing.T, condition func() bool, what string) {
	t.Helper()
	require.Eventually(t, condition, within, 100*time.Millisecond, what)
}

func (o *operated) metrics(t *testing.T) string {
	t.Helper()
	out, err := o.Scrape(t.Context())
	require.NoError(t, err)
	return out
}

// TestWhatAnOperatorSees of entries that are allowed, denied, suspended, audited, and of policies that are not in force.
func TestWhatAnOperatorSees(t *testing.T) {
	o := started(t)
	// The namespace of which the API server's audit log is kept.
	for name, labels := range map[string]string{"break-glass": "{}", "shop": "{}", "nobody": "{}", "watched": "{egress-governor.io/mode: Observe}"} {
		o.create(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: "+name+", labels: "+labels+"}")
	}
	o.policy(t, "evil-hosts", "{match: {kinds: [ServiceEntry]}, policy: denied-hosts, parameters: {hosts: [evil.test]}}")
	o.policy(t, "odd-hosts", "{match: {kinds: [ServiceEntry]}, enforcement: Audit, policy: denied-hosts, parameters: {hosts: [odd.test]}}")
	o.policy(t, "of-a-bundle", "{match: {namespaces: [nobody]}, policy: absent/hosts}")
	o.eventually(t, func() bool {
		text := o.metrics(t)
		return strings.Contains(text, `egress_governor_policy_in_force{policy="evil-hosts"} 1`) && strings.Contains(text, `egress_governor_policy_in_force{policy="odd-hosts"} 1`) &&
			strings.Contains(text, `egress_governor_policy_in_force{policy="of-a-bundle"} 0`)
	}, "the policies are in force, but for the one that cannot be")
	good := o.create(t, entry("shop", "api", "api.test"))
	o.create(t, entry("shop", "odd", "odd.test"))
	for i := range 6 {
		o.create(t, entry("shop", fmt.Sprint("many-", i), fmt.Sprintf("many-%d.test", i)))
	}
	o.create(t, entry("watched", "api", "watched.test"))
	o.eventually(t, func() bool {
		return o.Client.Get(t.Context(), client.ObjectKeyFromObject(good), good) == nil && controlplane.ConditionOf(good, "ExitReady", "status") == "True"
	}, "the exit is ready")
	require.Error(t, o.Client.Create(t.Context(), o.object(t, entry("break-glass", "evil", "evil.test"))))
	require.ErrorContains(t, o.Client.Create(t.Context(), o.object(t, entry("nobody", "api", "nobody.test"))), "of-a-bundle", "it cannot be evaluated")
	o.policy(t, "mistyped", `{match: {kinds: [ServiceEntry], namespaces: [shop]}, existing: Suspend, policy: allowed-hosts, parameters: {hosts: ["*.tset"]}}`)
	t.Run("traces", o.traces)
	t.Run("logs", o.logs)
	t.Run("metrics", o.documented)
	t.Run("doors", o.doors)
	t.Run("traces by HTTP", o.tracesByHTTP)
}

// logs: a denial is one line, which the API server's audit log names.
func (o *operated) logs(t *testing.T) {
	var id string
	o.eventually(t, func() bool {
		for _, event := range lines(t, o.AuditLog) {
			annotations, _ := event["annotations"].(map[string]any)
			if found, is := annotations["validate.egress-governor.io/request-id"].(string); is {
				id = found
			}
		}
		return id != ""
	}, "the audit log")
	var said []map[string]any
	for _, line := range lines(t, filepath.Join(o.folder, "webhook.log")) {
		if line["requestID"] == id {
			said = append(said, line)
		}
	}
	require.Len(t, said, 1)
	assert.Equal(t, "Not allowed", said[0]["msg"])
	assert.Equal(t, "denied", said[0]["verdict"])
	assert.Equal(t, "admin", said[0]["user"])
	assert.Equal(t, map[string]any{"name": "evil", "namespace": "break-glass"}, said[0]["object"])
	assert.Equal(t, []any{"host-denied at spec.hosts[0] by evil-hosts"}, said[0]["reasons"])
	assert.Regexp(t, "^[0-9a-f]{32}$", said[0]["traceID"])
}

// lines are those of a file that are JSON.
func lines(t *testing.T, file string) (out []map[string]any) {
	t.Helper()
	of, err := os.Open(file)
	require.NoError(t, err)
	defer func() { _ = of.Close() }()
	scanner := bufio.NewScanner(of)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		var line map[string]any
		if json.Unmarshal(scanner.Bytes(), &line) == nil {
			out = append(out, line)
		}
	}
	return out
}

// ofTenants is a series with a label that names a namespace, an object or a host of tenants': their number is theirs to choose.
var ofTenants = regexp.MustCompile(`(?m)^\w+\{.*"(shop|nobody|watched|break-glass|api|odd|evil|many-.*|[^"]*\.test)".*$`)

// documented: each metric that has a row is served; the whole is left for test/alerts.
func (o *operated) documented(t *testing.T) {
	raw, err := os.ReadFile("../../docs/metrics.md")
	require.NoError(t, err)
	rows := regexp.MustCompile("(?m)^\\| `(egress_governor_[a-z_]+)` \\| ([a-z, ]*) ?\\|").FindAllStringSubmatch(string(raw), -1)
	require.NotEmpty(t, rows)
	var text string
	for _, row := range rows {
		o.eventually(t, func() bool {
			text = o.metrics(t)
			return strings.Contains(text, "# TYPE "+row[1]+" ")
		}, row[1]+" is served")
		series := regexp.MustCompile(`(?m)^` + row[1] + `(_bucket)?(\{.*\})? `).FindString(text)
		for label := range strings.SplitSeq(strings.TrimSpace(row[2]), ", ") {
			assert.Contains(t, series, label, row[1])
		}
	}
	for _, le := range []string{"0.0001", "0.00025", "0.0005", "0.001", "5"} {
		assert.Contains(t, text, `egress_governor_request_duration_seconds_bucket{handler="validate",kind="ServiceEntry",le="`+le+`"}`, "most requests take less than a millisecond")
	}
	assert.Empty(t, ofTenants.FindString(text), "tenants make series")
	assert.Contains(t, text, `egress_governor_policy_in_force{policy="of-a-bundle"} 0`)
	assert.Contains(t, text, `egress_governor_policy_generation{policy="of-a-bundle"} 0`)
	assert.Contains(t, text, `egress_governor_policy_generation{policy="evil-hosts"} 1`)
	require.NoError(t, os.WriteFile(filepath.Join(o.folder, "..", "metrics.txt"), []byte(text), 0o600))
}
