package operated

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/egress-governor/egress-governor/test/controlplane"
)

// who are the service accounts that ask, and the verb and path that each is granted, empty for nothing.
var who = map[string][2]string{"prometheus": {"get", "/metrics"}, "operator": {"put", "/log-level"}, "nobody": {}}

// admitted makes the service accounts, and returns a token of each.
func (o *operated) admitted(t *testing.T) map[string]string {
	t.Helper()
	clientset, err := kubernetes.NewForConfig(o.Config)
	require.NoError(t, err)
	out := map[string]string{}
	for name, may := range who {
		o.create(t, "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: "+name+", namespace: shop}")
		if may[0] != "" {
			o.create(t, fmt.Sprintf("apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: %s}\nrules: [{nonResourceURLs: [%s], verbs: [%s]}]", name, may[1], may[0]))
			o.create(t, fmt.Sprintf("apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: %[1]s}\n"+
				"roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: %[1]s}\nsubjects: [{kind: ServiceAccount, name: %[1]s, namespace: shop}]", name))
		}
		token, err := clientset.CoreV1().ServiceAccounts("shop").CreateToken(t.Context(), name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
		require.NoError(t, err)
		out[name] = token.Status.Token
	}
	return out
}

// asking is a replica as the chart runs it by default, which asks the API server who reads metrics, and serves profiles.
func (o *operated) asking(t *testing.T) (of *controlplane.Replica, profiles string) {
	t.Helper()
	profiles = free(t, 1)[0]
	// A log is added to, and what is there is another run's.
	require.NoError(t, os.RemoveAll(filepath.Join(o.folder, "asking.log")))
	of, err := o.StartReplica(t.Context(), controlplane.ReplicaOptions{
		Name: "asking", Server: o.Config.Host, CA: o.Config.CAData, Args: []string{"--metrics-auth", "--pprof-address=" + profiles, "--shutdown-delay=0s"},
	})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, of.Stop()) })
	o.eventually(t, func() bool {
		status, _, err := answer(t, http.MethodGet, of.Ready, "", "")
		return err == nil && status == http.StatusOK
	}, "the replica is ready")
	return of, "http://" + profiles
}

// answer is what a URL answers, to whoever has a token. The certificate is of the replica's own making, as Prometheus takes it.
func answer(t *testing.T, method, url, token, body string) (status int, text string, err error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	require.NoError(t, err)
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = response.Body.Close() }() // it was read
	raw, err := io.ReadAll(response.Body)
	return response.StatusCode, string(raw), err
}

// debugs says whether a replica logs at debug: its probe says there that it has no check of a name.
func (o *operated) debugs(t *testing.T, of *controlplane.Replica) bool {
	t.Helper()
	status, _, err := answer(t, http.MethodGet, of.Ready+"?exclude=nobody", "", "")
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, status)
	raw, err := os.ReadFile(filepath.Join(o.folder, of.Name+".log"))
	require.NoError(t, err)
	return strings.Contains(string(raw), `"level":"debug"`)
}

// doors: metrics are for those who may get them, the log level for those who may put it, and profiles are served where they are asked
// for alone.
func (o *operated) doors(t *testing.T) {
	tokens := o.admitted(t)
	replica, profiles := o.asking(t)
	at := "https" + strings.TrimSuffix(strings.TrimPrefix(replica.Metrics, "http"), "/metrics")
	for _, row := range []struct {
		method, url, token string
		status             int
		says               string
	}{
		{http.MethodGet, at + "/metrics", "", http.StatusUnauthorized, ""},
		{http.MethodGet, at + "/metrics", tokens["nobody"], http.StatusForbidden, ""},
		{http.MethodGet, at + "/metrics", tokens["operator"], http.StatusForbidden, ""},
		{http.MethodGet, at + "/metrics", tokens["prometheus"], http.StatusOK, "egress_governor_exits{"},
		{http.MethodPut, at + "/log-level", "", http.StatusUnauthorized, ""},
		{http.MethodPut, at + "/log-level", tokens["prometheus"], http.StatusForbidden, ""},
		{http.MethodGet, at + "/debug/pprof/heap", tokens["operator"], http.StatusNotFound, ""},
		{http.MethodGet, profiles + "/debug/pprof/heap?debug=1", "", http.StatusOK, "heap profile: "},
		{http.MethodGet, strings.Replace(o.Metrics, "/metrics", "/debug/pprof/heap", 1), "", http.StatusNotFound, ""},
	} {
		status, text, err := answer(t, row.method, row.url, row.token, `{"level": "debug"}`)
		require.NoError(t, err, row.url)
		assert.Equal(t, row.status, status, "%s %s: %s", row.method, row.url, text)
		assert.Contains(t, text, row.says)
	}
	assert.False(t, o.debugs(t, replica), "nobody has changed it yet")
	status, text, err := answer(t, http.MethodPut, at+"/log-level", tokens["operator"], `{"level": "debug"}`)
	require.NoError(t, err)
	assert.Equal(t, http.StatusOK, status, text)
	o.eventually(t, func() bool { return o.debugs(t, replica) }, "lines of debug")
}
