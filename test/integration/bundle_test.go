package integration

import (
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/test/controlplane"
)

// control is an HTTP server with bundles, which takes decisions.
type control struct {
	mu    sync.Mutex
	holds []byte
	taken []map[string]any
}

// ServeHTTP implements http.Handler.
func (c *control) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.Method == http.MethodGet {
		_, _ = w.Write(c.holds)
		return
	}
	unzipped, err := gzip.NewReader(r.Body)
	var events []map[string]any
	if err == nil {
		err = json.NewDecoder(unzipped).Decode(&events)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c.taken = append(c.taken, events...)
}

func (c *control) serve(of []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.holds = of
}

// decisions returns what was logged of an object.
func (c *control) decisions(name string) (out []map[string]any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, event := range c.taken {
		if input, is := event["input"].(map[string]any); is && input["name"] == name {
			out = append(out, event)
		}
	}
	return out
}

// pair writes a key pair of ECDSA into a folder.
func pair(t *testing.T, folder, name string) (private, public string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	own, err := x509.MarshalECPrivateKey(key)
	require.NoError(t, err)
	shown, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	require.NoError(t, err)
	private, public = filepath.Join(folder, name+".pem"), filepath.Join(folder, name+".pub")
	require.NoError(t, os.WriteFile(private, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: own}), 0o600))
	require.NoError(t, os.WriteFile(public, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: shown}), 0o600))
	return private, public
}

// bundleFolder writes the policy saas-hosts, which allows hosts that are data.
func bundleFolder(t *testing.T, hosts string) string {
	t.Helper()
	folder := t.TempDir()
	for name, content := range map[string]string{
		"saas/data.json": `{"hosts": [` + hosts + `]}`,
		"saas.rego": `# METADATA
# title: SaaS hosts
# description: Hosts with whom there is a contract.
# custom:
#   fix: ask the security team
#   kinds: [ServiceEntry]
package policies.saas_hosts

import data.policies.lib.result

# METADATA
# title: No contract
# custom:
#   msg: there is no contract about host %q
deny contains result.of(rego.metadata.rule(), host.field, [host.host], []) if {
	some host in input.egress.hosts
	not host.host in data.saas.hosts
}
`,
		"saas_test.rego": "package policies.saas_hosts_test\n\ntest_nothing if true\n",
		"mask.rego":      "package system.log\n\nmask contains \"/input/user\"\n",
	} {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(folder, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600))
	}
	return folder
}

// TestTheExamplesOfARegistryRun, as they stand in the help of egressctl, against a real one.
func TestTheExamplesOfARegistryRun(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	folder := t.TempDir()
	binary := filepath.Join(folder, "egressctl")
	build := exec.Command("go", "build", "-o", binary, "./cmd/egressctl")
	build.Dir, build.Stderr = root, os.Stderr
	require.NoError(t, build.Run())
	require.NoError(t, os.CopyFS(folder, os.DirFS(filepath.Join(root, "cmd", "egressctl", "testdata"))))
	pair(t, folder, "release")
	images := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(images.Close)
	for _, command := range []string{"push", "pull"} {
		help, err := exec.Command(binary, "policy", command, "--help").Output()
		require.NoError(t, err)
		ran := 0
		for _, line := range strings.Split(string(help), "\n") {
			args, is := strings.CutPrefix(line, "  egressctl ")
			if !is || !strings.Contains(args, "registry.example.com") {
				continue
			}
			args = strings.ReplaceAll(args, "registry.example.com", strings.TrimPrefix(images.URL, "http://")) + " --plain-http"
			run := exec.Command(binary, strings.Fields(args)...)
			run.Dir = folder
			out, err := run.CombinedOutput()
			require.NoError(t, err, "%s\n%s", line, out)
			ran++
		}
		assert.Positive(t, ran, command)
	}
}

// TestPoliciesOfBundles from a server and from a registry, as egressctl makes them: signed by the right key they are taken and kept
// current; otherwise the last good ones stay, and without one what is selected fails. Decisions reach a server, masked. It is not
// parallel: the webhook runs under other values.
func TestPoliciesOfBundles(t *testing.T) {
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	folder := t.TempDir()
	binary := filepath.Join(folder, "egressctl")
	build := exec.Command("go", "build", "-o", binary, "./cmd/egressctl")
	build.Dir, build.Stderr = root, os.Stderr
	require.NoError(t, build.Run())
	egressctl := func(args ...string) (string, error) {
		out, err := exec.Command(binary, append([]string{"policy"}, args...)...).CombinedOutput()
		return string(out), err
	}
	private, public := pair(t, folder, "release")
	forger, stranger := pair(t, folder, "forger")
	built := func(hosts, key string) []byte {
		t.Helper()
		out, err := egressctl("build", bundleFolder(t, hosts), "-o", filepath.Join(folder, "bundle.tar.gz"), "--signing-key", key, "--signing-alg", "ES256", "--verification-key-id", "release")
		require.NoError(t, err, out)
		raw, err := os.ReadFile(filepath.Join(folder, "bundle.tar.gz"))
		require.NoError(t, err)
		return raw
	}
	images := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(images.Close)
	reference := strings.TrimPrefix(images.URL, "http://") + "/policies/acme:v1"
	pushed := func(hosts, key string) {
		t.Helper()
		out, err := egressctl("push", bundleFolder(t, hosts), reference, "--plain-http", "--signing-key", key, "--signing-alg", "ES256", "--verification-key-id", "release")
		require.NoError(t, err, out)
		assert.Contains(t, out, reference+"@sha256:")
	}
	pushed(`"api.image.test"`, private)
	pull := []string{"pull", reference, "--plain-http", "-o", filepath.Join(folder, "pulled.tar.gz"), "--signing-alg", "ES256", "--verification-key-id", "release", "--verification-key"}
	out, err := egressctl(append(pull, stranger)...)
	require.Error(t, err, out)
	assert.Contains(t, out, "verif")
	assert.NoFileExists(t, filepath.Join(folder, "pulled.tar.gz"))
	out, err = egressctl(append(pull, public)...)
	require.NoError(t, err, out)

	server := &control{}
	server.serve(built(`"api.web.test"`, private))
	web := httptest.NewServer(server)
	t.Cleanup(web.Close)
	key, err := os.ReadFile(public)
	require.NoError(t, err)
	source := func(service, resource string) map[string]any {
		return map[string]any{
			"service": service, "resource": resource, "signing": map[string]any{"keyid": "release"},
			"polling": map[string]any{"min_delay_seconds": 1, "max_delay_seconds": 1},
		}
	}
	configured(t, map[string]any{"opa": map[string]any{
		"services": map[string]any{"control": map[string]any{"url": web.URL}, "images": map[string]any{"url": images.URL, "type": "oci"}},
		"keys":     map[string]any{"release": map[string]any{"key": string(key), "algorithm": "ES256"}},
		"bundles":  map[string]any{"web": source("control", "/web.tar.gz"), "image": source("images", reference)},
		"decision_logs": map[string]any{
			"service": "control", "reporting": map[string]any{"min_delay_seconds": 1, "max_delay_seconds": 1},
		},
		"labels": map[string]any{"cluster": "integration"},
	}})
	ns := map[string]string{}
	policies := map[string]*unstructured.Unstructured{}
	for _, bundle := range []string{"web", "image"} {
		ns[bundle] = namespace(t, map[string]string{"test": bundle + "-saas"})
		policies[bundle], err = policyFor(t, bundle+"-saas", "  policy: "+bundle+"/saas-hosts\n")
		require.NoError(t, err)
	}
	answers := func(bundle, host string, want int32, says string) {
		t.Helper()
		var err error
		if !assert.Eventually(t, func() bool {
			err = shared.Client.Create(t.Context(), entryOf(t, ns[bundle], "api", host), client.DryRunAll)
			return code(err) == want && (err == nil || strings.Contains(err.Error(), says))
		}, within, 50*time.Millisecond, bundle+" "+host) {
			t.Log(err)
		}
	}
	reason := func(bundle, want, says string) {
		t.Helper()
		eventually(t, func() bool {
			of := get(t, policies[bundle])
			return controlplane.ConditionOf(of, "Ready", "reason") == want && strings.Contains(controlplane.ConditionOf(of, "Ready", "message"), says)
		}, bundle+" "+want)
	}
	_, err = policyFor(t, "unknown-saas", "  policy: web/other\n")
	require.ErrorContains(t, err, `bundle "web" has no policy "other"; it has saas-hosts`)
	_, err = policyFor(t, "unknown-saas", "  policy: wb/saas-hosts\n")
	require.ErrorContains(t, err, `no bundle "wb" is configured; configured are image, web`)

	const sentence = `spec.hosts[0]: there is no contract about host "%s"`
	for _, bundle := range []string{"web", "image"} {
		answers(bundle, "api."+bundle+".test", 0, "")
		answers(bundle, "other.test", 403, fmt.Sprintf(sentence, "other.test")+" ("+bundle+"/saas-hosts).\nFix: ask the security team")
	}
	err = shared.Client.Create(t.Context(), entryOf(t, ns["web"], "logged", "logged.test"))
	require.Equal(t, int32(403), code(err))
	eventually(t, func() bool { return len(server.decisions("logged")) == 1 }, "the decision is logged")
	event := server.decisions("logged")[0]
	assert.NotEmpty(t, event["decision_id"])
	assert.Equal(t, []any{"/input/user"}, event["erased"])
	assert.NotContains(t, event["input"], "user")
	assert.Equal(t, "integration", event["labels"].(map[string]any)["cluster"])
	assert.Equal(t, "denied", event["result"].(map[string]any)["verdict"])
	assert.Contains(t, event["bundles"], "web")
	assert.Empty(t, server.decisions("api"), "a dry run leaves no trace")

	// What a stranger signed is not taken, and the last good one stays.
	server.serve(built(`"other.test"`, forger))
	pushed(`"other.test"`, forger)
	for _, bundle := range []string{"web", "image"} {
		reason(bundle, "BundleFailed", "the last good version of bundle "+bundle+" stays in force: ")
		answers(bundle, "api."+bundle+".test", 0, "")
		answers(bundle, "other.test", 403, fmt.Sprintf(sentence, "other.test"))
	}
	assert.Contains(t, metrics(t), `egress_governor_bundle_failed{bundle="web"} 1`)
	eventually(t, func() bool {
		var list eventsv1.EventList
		require.NoError(t, shared.Client.List(t.Context(), &list))
		return slices.ContainsFunc(list.Items, func(event eventsv1.Event) bool {
			return event.Reason == "BundleFailed" && event.Regarding.Name == "web-saas"
		})
	}, "an Event of the policy")

	// A new one of the right key is, by either way.
	server.serve(built(`"new.test"`, private))
	pushed(`"new.test"`, private)
	for _, bundle := range []string{"web", "image"} {
		answers(bundle, "new.test", 0, "")
		answers(bundle, "api."+bundle+".test", 403, fmt.Sprintf(sentence, "api."+bundle+".test"))
		reason(bundle, "InForce", "")
	}

	// While the server is gone nothing changes, until a replica starts that has never seen it: it fails what the policy selects.
	web.Close()
	reason("web", "BundleFailed", "")
	answers("web", "new.test", 0, "")
	require.NoError(t, shared.StopWebhook())
	require.NoError(t, shared.StartWebhook(t.Context()))
	answers("web", "new.test", 500, "bundle web has not come yet")
	answers("image", "new.test", 0, "")
	reason("web", "BundleMissing", "bundle web has not come yet: ")
}
