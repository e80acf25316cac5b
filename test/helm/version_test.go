package helm

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// versioned returns a kubeconfig of the administrator's for an API server that says of which version it is: one that go build makes does
// not know, and helm asks before it installs a chart that names the versions it is for.
func (r *release) versioned(t *testing.T) (kubeconfig string) {
	t.Helper()
	list := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Version}}", "k8s.io/kubernetes")
	list.Dir = filepath.Join(r.root, "tools")
	pinned, err := list.Output()
	require.NoError(t, err)
	of := version.Info{GitVersion: strings.TrimSpace(string(pinned))}
	of.Major, of.Minor, _ = strings.Cut(strings.TrimPrefix(of.GitVersion, "v"), ".")

	target, err := url.Parse(r.Config.Host)
	require.NoError(t, err)
	transport, err := rest.TransportFor(r.Config)
	require.NoError(t, err)
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }, Transport: transport, FlushInterval: -1}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if request.URL.Path == "/version" {
			assert.NoError(t, json.NewEncoder(w).Encode(of))
			return
		}
		proxy.ServeHTTP(w, request)
	}))
	t.Cleanup(server.Close)

	config := clientcmdapi.NewConfig()
	config.Clusters["versioned"] = &clientcmdapi.Cluster{Server: server.URL}
	config.Contexts["versioned"] = &clientcmdapi.Context{Cluster: "versioned"}
	config.CurrentContext = "versioned"
	kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, clientcmd.WriteToFile(*config, kubeconfig))
	return kubeconfig
}
