package main

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestTheReportSaysWhatIsWrong by now, whatever was found when it was stored.
// TestNothingIsNoCluster: a picture of nothing would look like one of a cluster in which all is well.
func TestNothingIsNoCluster(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"report", "graph", "trace shop https://api.example.com"} {
		code, out, errs := run(t, "", strings.Fields(line)...)
		assert.Equal(t, failed, code, line)
		assert.Empty(t, out, line)
		assert.Contains(t, errs, "there is no cluster to look at", line)
	}
}

func TestTheReportSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	code, out, errs := run(t, "", "report", "--cluster", "testdata/mesh.yaml")
	require.Equal(t, clean, code, errs)
	for _, row := range []string{
		`data-namespace="payments" data-clients="payments" data-gateway="default" data-state="in order"`,
		`data-namespace="payments" data-clients="payments shop" data-gateway="default" data-state="suspended"`,
		`data-namespace="shop" data-clients="shop" data-gateway="default" data-state="not ready"`,
		`data-namespace="legacy" data-clients="" data-gateway="" data-state="past every gateway"`,
		`host &#34;ledger.partner.example&#34; is not allowed in namespace &#34;payments&#34;`,
		`<th scope="row" data-label="EgressPolicy">known-ports</th><td data-label="Enforcement">Audit</td>`,
	} {
		assert.Contains(t, out, row)
	}
	file := filepath.Join(t.TempDir(), "egress.html")
	code, out, errs = run(t, "", "report", "--cluster", "testdata/mesh.yaml", "-o", file)
	require.Equal(t, clean, code, errs)
	assert.Equal(t, file+"\n", out)
	assert.Contains(t, content(t, file), "</html>")
	for _, args := range [][]string{{"--cluster", "-", "--serve"}, {"--serve", "--every", "10ms"}, {"--serve=nowhere:99999999"}, {"-o", filepath.Join(file, "none")}, {"--cluster", "testdata/mesh.yaml", "-o", "json"}} {
		code, _, errs = run(t, "", append([]string{"report"}, args...)...)
		assert.Equal(t, failed, code, args)
		assert.NotEmpty(t, errs)
	}
}

// line is a writer that tells the first line.
type line chan string

func (l line) Write(raw []byte) (int, error) {
	select {
	case l <- string(raw):
	default:
	}
	return len(raw), nil
}

// TestTheReportIsServed until it is interrupted, and says what is written meanwhile.
func TestTheReportIsServed(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	file := filepath.Join(folder, "mesh.yaml")
	require.NoError(t, os.WriteFile(file, []byte(content(t, "testdata/mesh.yaml")), 0o600))
	ctx, stop := context.WithCancel(t.Context())
	said, code := make(line, 1), make(chan int, 1)
	go func() {
		code <- execute(ctx, []string{"egressctl", "report", "--cluster", file, "--serve=127.0.0.1:0", "--every", "1s"}, strings.NewReader(""), io.Discard, said)
	}()
	url := regexp.MustCompile(`http://\S+`).FindString(<-said)
	require.NotEmpty(t, url)
	page := func() string {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"main", nil)
		require.NoError(t, err)
		answer, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		raw, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		return string(raw)
	}
	assert.NotContains(t, page(), "later.example.com")
	later := "\n---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: later, namespace: shop}\nspec: {hosts: [later.example.com], ports: [{number: 443, name: tls, protocol: TLS}], resolution: DNS}\n"
	require.NoError(t, os.WriteFile(file, []byte(content(t, "testdata/mesh.yaml")+later), 0o600))
	assert.Eventually(t, func() bool { return strings.Contains(page(), "later.example.com") }, time.Minute, 100*time.Millisecond)
	stop()
	assert.Equal(t, clean, <-code)
}
