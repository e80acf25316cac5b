package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/report"
)

// TestDraftsPassReview, in a mesh that was never asked.
func TestDraftsPassReview(t *testing.T) {
	t.Parallel()
	code, drafts, errs := run(t, "", "discover", "-f", "testdata/access.log", "-n", "payments")
	require.Equal(t, clean, code, errs)
	assert.Empty(t, errs)
	for _, want := range []string{
		"# Namespace payments calls 203.0.113.9:5432 TCP, by no name: no entry is drafted, by ledger.\n", "# api.stripe.com:443 TLS: 2 calls, open, by tills\n",
		"# www.paypal.com:443 TLS: 1 call, blocked, by ledger\n", "  name: discovered-payments\n",
	} {
		assert.Contains(t, drafts, want)
	}
	code, out, errs := run(t, drafts, "review", "-f", "-", "--strict")
	assert.Equal(t, clean, code, errs)
	assert.Contains(t, out, "4 objects: 4 allowed\n")
	code, out, _ = run(t, "", "discover", "-f", "testdata/access.log", "-n", "payments", "-o", "json")
	require.Equal(t, clean, code)
	var got report.Discovery
	require.NoError(t, json.Unmarshal([]byte(out), &got))
	assert.Equal(t, 5, got.Count.Calls)
	require.Len(t, got.Namespaces, 1)
	assert.Len(t, got.Namespaces[0].Found, 4)
}

func TestWhatCannotBeDiscovered(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"discover":                                      "at least one of the flags in the group [filename kubeconfig context] is required",
		"discover -f none.log":                          "none.log",
		"discover -f testdata/entry.yaml":               "none of 16 lines is one of an access log",
		"discover -f testdata/access.log -o xml":        "--output must be json or table or yaml",
		"discover -f testdata/access.log -n a:b":        `--namespace: "a:b" is no name`,
		"discover -f -":                                 "none of 0 lines",
		"discover -f testdata/access.log --config none": "configuration: ",
	} {
		code, out, errs := run(t, "", strings.Fields(line)...)
		assert.Equal(t, failed, code, line)
		assert.Contains(t, errs, want, line)
		assert.Empty(t, out, line)
	}
	_, _, errs := run(t, content(t, "testdata/access.log")+`[2026-11-26T08:00:05.201Z] "GET / HTTP/1.1" of a form of ours`, "discover", "-f", "-")
	assert.Equal(t, "Note: 1 lines look like access logs and have another form than Istio's default.\n", errs)
}

// apiServer is one that has namespaces, pods with logs and an entry, and nothing else.
func apiServer(t *testing.T, logs map[string]string) (kubeconfig string) {
	t.Helper()
	pod := func(name, namespace, owner string) string {
		return fmt.Sprintf(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":%q,"namespace":%q%s},"spec":{"containers":[{"name":"main"}],"initContainers":[{"name":"istio-proxy"}]},"status":{"phase":"Running"}}`, name, namespace, owner)
	}
	bare := `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"bare","namespace":"shop"},"spec":{"containers":[{"name":"main"}]},"status":{"phase":"Running"}}`
	answers := map[string]string{
		"/api/v1/namespaces": `{"apiVersion":"v1","kind":"NamespaceList","items":[{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"shop"}},` +
			`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"free","labels":{"egress-governor.io/exempt":"true"}}}]}`,
		"/apis/networking.istio.io/v1/serviceentries": `{"apiVersion":"networking.istio.io/v1","kind":"ServiceEntryList","items":[{"apiVersion":"networking.istio.io/v1","kind":"ServiceEntry",` +
			`"metadata":{"name":"stored","namespace":"shop","uid":"2"},"spec":{"hosts":["stored.example.com"],"resolution":"DNS","ports":[{"number":443,"name":"tls","protocol":"TLS"}]}}]}`,
		"/api/v1/services": `{"apiVersion":"v1","kind":"ServiceList","items":[{"apiVersion":"v1","kind":"Service","metadata":{"name":"orders","namespace":"shop"}}]}`,
		"/api/v1/pods": `{"apiVersion":"v1","kind":"PodList","items":[` + strings.Join([]string{
			pod("web-6d5f7c8b94-x2x7k", "shop", ""), pod("nightly-1", "shop", `,"ownerReferences":[{"kind":"Job","name":"nightly","apiVersion":"batch/v1","uid":"1"}]`),
			pod("evil-1", "shop", `,"ownerReferences":[{"kind":"Job","name":"x\nkind: Secret","apiVersion":"batch/v1","uid":"1"}]`), bare, pod("free-1", "free", "")}, ",") + `]}`,
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if answer, is := answers[r.URL.Path]; is {
			fmt.Fprint(w, answer)
			return
		}
		if log, is := logs[r.URL.Path]; is && r.URL.Query().Get("container") == "istio-proxy" && r.URL.Query().Get("sinceSeconds") == "3600" {
			fmt.Fprint(w, log)
			return
		}
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"apiVersion":"v1","kind":"Status","status":"Failure","reason":"NotFound","code":404}`)
	}))
	t.Cleanup(server.Close)
	kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, os.WriteFile(kubeconfig, []byte("apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{name: c, cluster: {server: '"+server.URL+"'}}]\ncontexts: [{name: c, context: {cluster: c, user: u}}]\nusers: [{name: u, user: {}}]\n"), 0o600))
	return kubeconfig
}

// TestLogsOfPodsAreRead: of sidecars in governed namespaces. One that cannot be read is an error, whatever the others say.
func TestLogsOfPodsAreRead(t *testing.T) {
	t.Parallel()
	call := func(host string) string {
		return `[2026-11-26T08:00:03.007Z] "GET / HTTP/1.1" 200 - via_upstream - "-" 0 1 1 1 "-" "x" "y" "` + host + `" "203.0.113.20:80" PassthroughCluster 10.0.0.1:1 203.0.113.20:80 10.0.0.1:2 - allow_any` + "\n"
	}
	logs := map[string]string{
		"/api/v1/namespaces/shop/pods/web-6d5f7c8b94-x2x7k/log": call("rates.example.com") + call("orders.shop"), "/api/v1/namespaces/shop/pods/nightly-1/log": call("rates.example.com"),
		"/api/v1/namespaces/shop/pods/evil-1/log": call("other.example.com"), "/api/v1/namespaces/free/pods/free-1/log": call("free.example.com"),
	}
	args := []string{"discover", "-A", "--since", "1h", "--config", "../../internal/config/installed.yaml", "--kubeconfig"}
	code, out, errs := run(t, "", append(args, apiServer(t, logs))...)
	require.Equal(t, clean, code, errs)
	assert.Contains(t, out, "# rates.example.com:80 HTTP: 2 calls, open, by nightly, web\n")
	assert.Contains(t, out, "# other.example.com:80 HTTP: 1 call, open, by evil\n")
	for _, not := range []string{"free.example.com", "orders.shop", "Secret"} {
		assert.NotContains(t, out, not)
	}
	delete(logs, "/api/v1/namespaces/shop/pods/evil-1/log")
	code, out, errs = run(t, "", append(args, apiServer(t, logs))...)
	assert.Equal(t, failed, code)
	assert.Contains(t, out, "rates.example.com")
	assert.Contains(t, errs, "Error: log of pod shop/evil-1: ")
	code, _, errs = run(t, "", append(args[:1:1], "-n", "free", "--config", "../../internal/config/installed.yaml", "--kubeconfig", apiServer(t, logs))...)
	assert.Equal(t, failed, code)
	assert.Contains(t, errs, `namespace "free" is not there, or not governed`)
}
