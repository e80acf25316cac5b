package integration

import (
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	eventsv1 "k8s.io/api/events/v1"
)

// TestTheExamplesOfARegistryRun, as they stand in the help of egressctl, against a real one.
func TestTheExamplesOfARegistryRun(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	binary, err := built()
	require.NoError(t, err)
	require.NoError(t, os.CopyFS(folder, os.DirFS(filepath.Join("..", "..", "cmd", "egressctl", "testdata"))))
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
// parallel: the webhook runs under other values, and each step goes on from the one before.
func TestPoliciesOfBundles(t *testing.T) {
	b := newBundled(t)
	for _, step := range []struct {
		name string
		is   func(t *testing.T, b *bundled)
	}{
		{"they decide", bundlesDecide},
		{"others are named", otherBundlesAreNamed},
		{"decisions are logged", decisionsAreLogged},
		{"a stranger's is not taken", aStrangersIsNotTaken},
		{"a new one is taken", aNewBundleIsTaken},
		{"the server is gone", withoutItsServer},
	} {
		require.True(t, t.Run(step.name, func(t *testing.T) { step.is(t, b) }))
	}
}

func bundlesDecide(t *testing.T, b *bundled) {
	for _, bundle := range bothWays {
		b.answers(t, bundle, "api."+bundle+".test", 0, "")
		b.denies(t, bundle, "other.test")
	}
}

func otherBundlesAreNamed(t *testing.T, _ *bundled) {
	_, err := policyFor(t, "unknown-saas", "  policy: web/other\n")
	require.ErrorContains(t, err, `bundle "web" has no policy "other"; it has saas-hosts`)
	_, err = policyFor(t, "unknown-saas", "  policy: wb/saas-hosts\n")
	require.ErrorContains(t, err, `no bundle "wb" is configured; configured are image, web`)
}

func decisionsAreLogged(t *testing.T, b *bundled) {
	err := shared.Client.Create(t.Context(), entryOf(t, b.namespaces["web"], "logged", "logged.test"))
	require.Equal(t, int32(403), code(err))
	eventually(t, func() bool { return len(b.control.decisions("logged")) == 1 }, "the decision is logged")
	event := b.control.decisions("logged")[0]
	assert.NotEmpty(t, event["decision_id"])
	assert.Equal(t, []any{"/input/user"}, event["erased"])
	assert.NotContains(t, event["input"], "user")
	assert.Equal(t, "integration", event["labels"].(map[string]any)["cluster"])
	assert.Equal(t, "denied", event["result"].(map[string]any)["verdict"])
	assert.Contains(t, event["bundles"], "web")
	assert.Empty(t, b.control.decisions("api"), "a dry run leaves no trace")
}

// aStrangersIsNotTaken, by egressctl either, and the last good one stays.
func aStrangersIsNotTaken(t *testing.T, b *bundled) {
	pulled := filepath.Join(b.folder, "pulled.tar.gz")
	out, err := b.egressctl("--verification-key", b.stranger, "pull", b.reference, "--plain-http", "-o", pulled)
	require.Error(t, err, out)
	assert.Contains(t, out, "verif")
	assert.NoFileExists(t, pulled)
	out, err = b.egressctl("--verification-key", b.public, "pull", b.reference, "--plain-http", "-o", pulled)
	require.NoError(t, err, out)

	b.serve(`"other.test"`, b.forger)
	b.push(`"other.test"`, b.forger)
	for _, bundle := range bothWays {
		b.reason(t, bundle, "BundleFailed", "the last good version of bundle "+bundle+" stays in force: ")
		b.answers(t, bundle, "api."+bundle+".test", 0, "")
		b.denies(t, bundle, "other.test")
	}
	assert.Contains(t, metrics(t), `egress_governor_bundle_failed{bundle="web"} 1`)
	eventually(t, func() bool {
		var list eventsv1.EventList
		require.NoError(t, shared.Client.List(t.Context(), &list))
		return slices.ContainsFunc(list.Items, func(event eventsv1.Event) bool {
			return event.Reason == "BundleFailed" && event.Regarding.Name == "web-saas"
		})
	}, "an Event of the policy")
}

// aNewBundleIsTaken where the right key has signed it, by either way.
func aNewBundleIsTaken(t *testing.T, b *bundled) {
	b.serve(`"new.test"`, b.private)
	b.push(`"new.test"`, b.private)
	for _, bundle := range bothWays {
		b.answers(t, bundle, "new.test", 0, "")
		b.denies(t, bundle, "api."+bundle+".test")
		b.reason(t, bundle, "InForce", "")
	}
}

// withoutItsServer nothing changes, until a replica starts that has never seen the bundle: it fails what the policy selects.
func withoutItsServer(t *testing.T, b *bundled) {
	b.web.Close()
	b.reason(t, "web", "BundleFailed", "")
	b.answers(t, "web", "new.test", 0, "")
	require.NoError(t, shared.StopWebhook())
	require.NoError(t, shared.StartWebhook(t.Context()))
	b.answers(t, "web", "new.test", 500, "bundle web has not come yet")
	b.answers(t, "image", "new.test", 0, "")
	b.reason(t, "web", "BundleMissing", "bundle web has not come yet: ")
}
