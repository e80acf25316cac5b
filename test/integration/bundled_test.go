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
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
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

// bundled is a webhook with two bundles of the policy saas-hosts, one of a server and one of a registry, and what signs and asks them.
type bundled struct {
	t      *testing.T
	folder string
	// private signs what the webhook takes, which public is checked by; forger is another's key, which stranger is for.
	private, public, forger, stranger string
	// reference names the image with the second bundle.
	reference string
	images    *httptest.Server
	control   *control
	web       *httptest.Server
	// namespaces and policies are those that each bundle decides for.
	namespaces map[string]string
	policies   map[string]*unstructured.Unstructured
}

// bothWays are the names of the bundles, by the way that they come.
var bothWays = []string{"web", "image"}

// newBundled makes bundles that allow api.web.test and api.image.test, and has the webhook take them.
func newBundled(t *testing.T) *bundled {
	t.Helper()
	out := &bundled{t: t, folder: t.TempDir(), control: &control{}, namespaces: map[string]string{}, policies: map[string]*unstructured.Unstructured{}}
	out.private, out.public = pair(t, out.folder, "release")
	out.forger, out.stranger = pair(t, out.folder, "forger")
	out.images = httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(out.images.Close)
	out.reference = strings.TrimPrefix(out.images.URL, "http://") + "/policies/acme:v1"
	out.web = httptest.NewServer(out.control)
	t.Cleanup(out.web.Close)
	out.push(`"api.image.test"`, out.private)
	out.serve(`"api.web.test"`, out.private)
	configured(t, map[string]any{"opa": out.options()})
	beside.unanswered(t, "egressctl is given no bundle")
	for _, bundle := range bothWays {
		out.namespaces[bundle] = namespace(t, map[string]string{"test": bundle + "-saas"})
		policy, err := policyFor(t, bundle+"-saas", "  policy: "+bundle+"/saas-hosts\n")
		require.NoError(t, err)
		out.policies[bundle] = policy
	}
	return out
}

// options are the webhook's: both bundles, and where decisions are logged.
func (b *bundled) options() map[string]any {
	key, err := os.ReadFile(b.public)
	require.NoError(b.t, err)
	delays := map[string]any{"min_delay_seconds": 1, "max_delay_seconds": 1}
	source := func(service, resource string) map[string]any {
		return map[string]any{"service": service, "resource": resource, "signing": map[string]any{"keyid": "release"}, "polling": delays}
	}
	return map[string]any{
		"services":      map[string]any{"control": map[string]any{"url": b.web.URL}, "images": map[string]any{"url": b.images.URL, "type": "oci"}},
		"keys":          map[string]any{"release": map[string]any{"key": string(key), "algorithm": "ES256"}},
		"bundles":       map[string]any{"web": source("control", "/web.tar.gz"), "image": source("images", b.reference)},
		"decision_logs": map[string]any{"service": "control", "reporting": delays},
		"labels":        map[string]any{"cluster": "integration"},
	}
}

// egressctl runs egressctl policy with a key by which it signs or verifies.
func (b *bundled) egressctl(keyFlag, key string, args ...string) (string, error) {
	b.t.Helper()
	binary, err := built()
	require.NoError(b.t, err)
	args = append(append([]string{"policy"}, args...), "--signing-alg", "ES256", "--verification-key-id", "release", keyFlag, key)
	out, err := exec.Command(binary, args...).CombinedOutput()
	return string(out), err
}

// push puts a bundle that allows hosts, signed by a key, into the registry.
func (b *bundled) push(hosts, key string) {
	b.t.Helper()
	out, err := b.egressctl("--signing-key", key, "push", bundleFolder(b.t, hosts), b.reference, "--plain-http")
	require.NoError(b.t, err, out)
	assert.Contains(b.t, out, b.reference+"@sha256:")
}

// serve has the server hold such a bundle.
func (b *bundled) serve(hosts, key string) {
	b.t.Helper()
	file := filepath.Join(b.folder, "bundle.tar.gz")
	out, err := b.egressctl("--signing-key", key, "build", bundleFolder(b.t, hosts), "-o", file)
	require.NoError(b.t, err, out)
	raw, err := os.ReadFile(file)
	require.NoError(b.t, err)
	b.control.serve(raw)
}

// answers waits until an entry of a host is answered so where a bundle decides.
func (b *bundled) answers(t *testing.T, bundle, host string, want int32, says string) {
	t.Helper()
	var err error
	if !assert.Eventually(t, func() bool {
		err = shared.Client.Create(t.Context(), entryOf(t, b.namespaces[bundle], "api", host), client.DryRunAll)
		return code(err) == want && (err == nil || strings.Contains(err.Error(), says))
	}, within, 50*time.Millisecond, bundle+" "+host) {
		t.Log(err)
	}
}

// denies waits until a bundle has no contract about a host.
func (b *bundled) denies(t *testing.T, bundle, host string) {
	t.Helper()
	b.answers(t, bundle, host, 403, fmt.Sprintf(`spec.hosts[0]: there is no contract about host "%s" (%s/saas-hosts).`+"\nFix: ask the security team", host, bundle))
}

// reason waits until the policy of a bundle is in force, or is not, for a reason.
func (b *bundled) reason(t *testing.T, bundle, want, says string) {
	t.Helper()
	eventually(t, func() bool {
		of := get(t, b.policies[bundle])
		return controlplane.ConditionOf(of, "Ready", "reason") == want && strings.Contains(controlplane.ConditionOf(of, "Ready", "message"), says)
	}, bundle+" "+want)
}
